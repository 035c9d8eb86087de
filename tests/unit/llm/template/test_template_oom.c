// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of parsing and rendering fails in turn.
#include "template_cases.h"
#include "test.h"

static const char source[] =
    "{% macro f(a, b=2) %}<{{ a }}{{ b }}>{% endmacro %}{% set ns = namespace(n=0) %}"
    "{% for m in messages if m.role %}{% set ns.n = ns.n + 1 %}{{ f(m.content|upper, loop.index) }}"
    "{{ m|tojson(indent=2) }}{{ m.content.split()|sort|join(',') }}{{ (m|items|list)[::-1] }}"
    "{% set x %}{{ m.role[::-1] }}{% endset %}{{ x|replace('s', 'zz')|title|indent }}{% endfor %}"
    "{{ messages|map(attribute='role')|unique|list }}{{ {'a': [1, (2,)]} }}{{ 'a' * 5000 }}"
    "{{ strftime_now('%d %B') }}{{ messages|selectattr('role', 'eq', 'user')|list|length }}";

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env env = tp_env_plain();
    tp_rendered rendered;
    (void)user; // there is none
    env.alloc = alloc;
    TP_TRY(template_case(&env, TP_STR(source),
                         TP_STR("{\"messages\": [{\"role\": \"user\", \"content\": \"a b\"}, "
                                "{\"role\": \"tool\", \"content\": \"c\", \"k\": [1.5, null]}]}"),
                         &rendered, err));
    tp_rendered_deinit(&rendered);
    return TAPEOUT_OK;
}

static void test_every_allocation(void)
{
    test_out_of_memory(scenario, NULL);
}

TEST_MAIN(TEST(test_every_allocation))

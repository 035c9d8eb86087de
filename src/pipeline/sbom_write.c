// SPDX-License-Identifier: Apache-2.0
//
// CycloneDX 1.6 as JSON, as far as the bills of materials need it. No serial number and no time:
// what is the same has the same bytes, and whoever publishes a document may add both.
#include "pipeline/sbom_write.h"

#include "table/tp_json.h"

#include <string.h>

void tp_sbom_text(tp_buffer *json, const char *key, tp_str text)
{
    tp_json_append_key(json, key);
    tp_json_append_str(json, text);
}

void tp_sbom_begin(tp_buffer *json)
{
    tp_buffer_append_text(json,
                          "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"version\":1,"
                          "\"metadata\":{\"component\":");
}

// One identifier stands as such; several make an expression.
static void append_licence(tp_buffer *json, const char *licence)
{
    const bool is_one = strchr(licence, ' ') == NULL;
    tp_buffer_append_text(json, is_one ? ",\"licenses\":[{\"license\":{\"id\":"
                                       : ",\"licenses\":[{\"expression\":");
    tp_json_append_str(json, tp_str_from(licence));
    tp_buffer_append_text(json, is_one ? "}}]" : "}]");
}

void tp_sbom_component_open(tp_buffer *json, const sbom_component *component)
{
    tp_buffer_append_char(json, '{');
    tp_sbom_text(json, "type", tp_str_from(component->type));
    tp_sbom_text(json, "bom-ref", tp_str_from(component->ref));
    tp_sbom_text(json, "name", component->name);
    if (component->version.size > 0) {
        tp_sbom_text(json, "version", component->version);
    }
    if (component->is_optional) {
        tp_sbom_text(json, "scope", TP_STR("optional"));
    }
    if (component->sha256.size > 0) {
        tp_buffer_append_text(json, ",\"hashes\":[{\"alg\":\"SHA-256\",\"content\":");
        tp_json_append_str(json, component->sha256);
        tp_buffer_append_text(json, "}]");
    }
    if (component->licence != NULL) {
        append_licence(json, component->licence);
    }
    if (component->linkage != NULL) {
        tp_buffer_append_text(json, ",\"properties\":[{\"name\":\"tapeout:linkage\",\"value\":");
        tp_json_append_str(json, tp_str_from(component->linkage));
        tp_buffer_append_text(json, "}]");
    }
}

void tp_sbom_component(tp_buffer *json, const sbom_component *component)
{
    tp_sbom_component_open(json, component);
    tp_buffer_append_char(json, '}');
}

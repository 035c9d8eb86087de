// SPDX-License-Identifier: Apache-2.0
//
// Networks as text: what is accepted has no bit behind its prefix, holds its own first address, and
// is read again from how that is printed.
#include "base/tp_net.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tp_net net;
    tp_net again;
    char text[TP_NET_TEXT_SIZE];
    if (!tp_net_parse((tp_str){(const char *)data, size}, &net)) {
        return 0;
    }
    check(net.bits <= 128 && tp_net_has(&net, net.bytes));
    for (unsigned bit = net.bits; bit < 128; bit++) {
        check((net.bytes[bit / 8] >> (7 - bit % 8) & 1) == 0);
    }
    tp_net_print(net.bytes, text);
    check(tp_net_parse(tp_str_from(text), &again));
    check(again.bits == 128 && memcmp(again.bytes, net.bytes, sizeof(net.bytes)) == 0);
    (void)tp_net_is_public(net.bytes);
    return 0;
}

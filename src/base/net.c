// SPDX-License-Identifier: Apache-2.0
//
// The lists of tp_net.h. What IPv6 has in use for the public lies in 2000::/3, so that is what is
// asked for, less what is special in it; of IPv4 what is special is listed.
#include "base/tp_net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { V4_BITS = 96 }; // of the prefix of an IPv4 address

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

#define V4(a, b, c, bits)                                                                          \
    {                                                                                              \
        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, 0}, V4_BITS + (bits)                   \
    }
#define V6(a, b, c, d, bits)                                                                       \
    {                                                                                              \
        {a, b, c, d}, bits                                                                         \
    }

static const tp_net special[] = {
    V4(0, 0, 0, 8),                 // this network
    V4(10, 0, 0, 8),                // private
    V4(100, 64, 0, 10),             // shared by a carrier's customers
    V4(127, 0, 0, 8),               // this machine
    V4(169, 254, 0, 16),            // of a link; metadata of clouds
    V4(172, 16, 0, 12),             // private
    V4(192, 0, 0, 24),              // of protocols
    V4(192, 0, 2, 24),              // documentation
    V4(192, 88, 99, 24),            // relays of 6to4
    V4(192, 168, 0, 16),            // private
    V4(198, 18, 0, 15),             // benchmarks
    V4(198, 51, 100, 24),           // documentation
    V4(203, 0, 113, 24),            // documentation
    V4(224, 0, 0, 4),               // groups
    V4(240, 0, 0, 4),               // reserved, and all of a link
    V6(0x20, 0x01, 0, 0, 23),       // of protocols: Teredo, ORCHID
    V6(0x20, 0x01, 0x0d, 0xb8, 32), // documentation
    V6(0x20, 0x02, 0, 0, 16),       // 6to4, which carries an IPv4 address
    V6(0x3f, 0xff, 0, 0, 20),       // documentation
};
static const tp_net global_v6 = V6(0x20, 0, 0, 0, 3);
static const tp_net all_v4 = V4(0, 0, 0, 0);
static const tp_net loopback_v4 = V4(127, 0, 0, 8);

bool tp_net_has(const tp_net *net, const uint8_t address[TP_NET_ADDRESS_SIZE])
{
    const size_t whole = net->bits / 8;
    const uint8_t mask = (uint8_t)(0xff00u >> net->bits % 8);
    return memcmp(net->bytes, address, whole) == 0 &&
           (net->bits % 8 == 0 || (net->bytes[whole] & mask) == (address[whole] & mask));
}

static bool parse_address(tp_str text, tp_net *net)
{
    char place[TP_NET_TEXT_SIZE];
    if (text.size == 0 || text.size >= sizeof(place)) {
        return false;
    }
    memcpy(place, text.data, text.size);
    place[text.size] = '\0';
    memcpy(net->bytes, v4_prefix, sizeof(v4_prefix));
    net->bits = 32; // how many there are behind the prefix
    if (inet_pton(AF_INET, place, net->bytes + sizeof(v4_prefix)) == 1) {
        return true;
    }
    net->bits = 128;
    return inet_pton(AF_INET6, place, net->bytes) == 1;
}

bool tp_net_parse(tp_str text, tp_net *ret_net)
{
    tp_net net;
    const char *slash = text.size == 0 ? NULL : memchr(text.data, '/', text.size);
    const size_t size = slash == NULL ? text.size : (size_t)(slash - text.data);
    if (!parse_address((tp_str){text.data, size}, &net)) {
        return false;
    }
    const uint8_t most = net.bits;
    uint64_t bits = most;
    if (slash != NULL &&
        (!tp_str_to_uint64((tp_str){slash + 1, text.size - size - 1}, &bits) || bits > most)) {
        return false;
    }
    net.bits = (uint8_t)(128 - most + bits);
    for (unsigned bit = net.bits; bit < 128; bit++) {
        if ((net.bytes[bit / 8] >> (7 - bit % 8) & 1) != 0) {
            return false;
        }
    }
    *ret_net = net;
    return true;
}

bool tp_net_address(const struct sockaddr *socket, uint8_t ret_address[TP_NET_ADDRESS_SIZE])
{
    if (socket->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, socket, sizeof(v4));
        memcpy(ret_address, v4_prefix, sizeof(v4_prefix));
        memcpy(ret_address + sizeof(v4_prefix), &v4.sin_addr, sizeof(v4.sin_addr));
        return true;
    }
    if (socket->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, socket, sizeof(v6));
        memcpy(ret_address, &v6.sin6_addr, TP_NET_ADDRESS_SIZE);
        return true;
    }
    return false;
}

void tp_net_print(const uint8_t address[TP_NET_ADDRESS_SIZE], char ret_text[TP_NET_TEXT_SIZE])
{
    const bool is_v4 = tp_net_has(&all_v4, address);
    // Neither can fail with a place of this size.
    (void)inet_ntop(is_v4 ? AF_INET : AF_INET6, address + (is_v4 ? sizeof(v4_prefix) : 0), ret_text,
                    TP_NET_TEXT_SIZE);
}

bool tp_net_is_loopback(const uint8_t address[TP_NET_ADDRESS_SIZE])
{
    static const uint8_t one[TP_NET_ADDRESS_SIZE] = {[TP_NET_ADDRESS_SIZE - 1] = 1};
    return tp_net_has(&loopback_v4, address) || memcmp(address, one, sizeof(one)) == 0;
}

bool tp_net_is_public(const uint8_t address[TP_NET_ADDRESS_SIZE])
{
    if (!tp_net_has(&all_v4, address) && !tp_net_has(&global_v6, address)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
        if (tp_net_has(&special[i], address)) {
            return false;
        }
    }
    return true;
}

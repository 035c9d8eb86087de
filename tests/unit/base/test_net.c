// SPDX-License-Identifier: Apache-2.0
//
// Addresses that are the public internet's and those that are not, each list's first and last and
// the neighbours of both; networks as text.
#include "base/tp_net.h"
#include "test.h"

#include <arpa/inet.h>
#include <string.h>

static void read_address(const char *text, uint8_t ret_address[TP_NET_ADDRESS_SIZE])
{
    tp_net net;
    ASSERT(tp_net_parse(tp_str_from(text), &net));
    ASSERT_EQ_UINT(net.bits, 128);
    memcpy(ret_address, net.bytes, sizeof(net.bytes));
}

static void test_public(void)
{
    static const char *const inside[] = {"0.0.0.0",
                                         "0.255.255.255",
                                         "10.0.0.0",
                                         "10.255.255.255",
                                         "100.64.0.0",
                                         "100.127.255.255",
                                         "127.0.0.1",
                                         "127.255.255.255",
                                         "169.254.169.254",
                                         "172.16.0.0",
                                         "172.31.255.255",
                                         "192.0.0.8",
                                         "192.0.2.1",
                                         "192.88.99.1",
                                         "192.168.0.0",
                                         "192.168.255.255",
                                         "198.18.0.0",
                                         "198.19.255.255",
                                         "198.51.100.7",
                                         "203.0.113.9",
                                         "224.0.0.1",
                                         "239.255.255.255",
                                         "240.0.0.1",
                                         "255.255.255.255",
                                         "::",
                                         "::1",
                                         "::ffff:10.0.0.1",
                                         "::ffff:127.0.0.1",
                                         "::127.0.0.1",
                                         "64:ff9b::a00:1",
                                         "64:ff9b:1::1",
                                         "100::1",
                                         "fc00::1",
                                         "fdff::1",
                                         "fe80::1",
                                         "fec0::1",
                                         "ff02::1",
                                         "2001::1",
                                         "2001:1ff::1",
                                         "2001:db8::1",
                                         "2002:a00:1::1",
                                         "3fff::1",
                                         "4000::1",
                                         "fd00:ec2::254"};
    static const char *const outside[] = {
        "1.0.0.0",         "9.255.255.255",  "11.0.0.0",        "100.63.255.255", "100.128.0.0",
        "126.255.255.255", "128.0.0.0",      "169.253.255.255", "169.255.0.0",    "172.15.255.255",
        "172.32.0.0",      "192.0.1.0",      "192.0.3.0",       "192.88.98.255",  "192.167.255.255",
        "192.169.0.0",     "198.17.255.255", "198.20.0.0",      "198.51.99.255",  "203.0.112.255",
        "223.255.255.255", "::ffff:8.8.8.8", "2001:200::1",     "2001:db7::1",    "2001:db9::1",
        "2003::1",         "2600::1",        "3ffe::1",         "2000::1"};
    uint8_t address[TP_NET_ADDRESS_SIZE];
    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
        read_address(inside[i], address);
        if (tp_net_is_public(address)) {
            test_fail(__FILE__, __LINE__, "%s is not of the public internet", inside[i]);
        }
    }
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        read_address(outside[i], address);
        if (!tp_net_is_public(address)) {
            test_fail(__FILE__, __LINE__, "%s is of the public internet", outside[i]);
        }
    }
}

static void test_networks(void)
{
    static const char *const wrong[] = {
        "",           "10",        "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8",   "10.0.0.0/-1",
        "fd00::/129", "fd00::1/8", "localhost", "10.0.0.0/8 ", "10.0.0.0/8/8", "::ffff:1.2/8"};
    tp_net net;
    uint8_t address[TP_NET_ADDRESS_SIZE];
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (tp_net_parse(tp_str_from(wrong[i]), &net)) {
            test_fail(__FILE__, __LINE__, "\"%s\" is no network", wrong[i]);
        }
    }
    ASSERT(tp_net_parse(TP_STR("172.16.0.0/12"), &net));
    read_address("172.31.255.255", address);
    ASSERT(tp_net_has(&net, address));
    read_address("172.32.0.0", address);
    ASSERT(!tp_net_has(&net, address));
    ASSERT(tp_net_parse(TP_STR("0.0.0.0/0"), &net)); // all of IPv4 and nothing of IPv6
    ASSERT(tp_net_has(&net, address));
    read_address("::1", address);
    ASSERT(!tp_net_has(&net, address) && tp_net_is_loopback(address));
    ASSERT(tp_net_parse(TP_STR("::/0"), &net));
    ASSERT(tp_net_has(&net, address));
}

static void test_sockets(void)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(0x7f000001)}};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr other = {.sa_family = AF_UNIX};
    uint8_t address[TP_NET_ADDRESS_SIZE];
    char text[TP_NET_TEXT_SIZE];
    ASSERT(tp_net_address((struct sockaddr *)&v4, address) && tp_net_is_loopback(address));
    tp_net_print(address, text);
    ASSERT_EQ_STR(text, "127.0.0.1");
    ASSERT_EQ_INT(inet_pton(AF_INET6, "2600::7", &v6.sin6_addr), 1);
    ASSERT(tp_net_address((struct sockaddr *)&v6, address) && !tp_net_is_loopback(address));
    tp_net_print(address, text);
    ASSERT_EQ_STR(text, "2600::7");
    ASSERT(!tp_net_address(&other, address));
}

TEST_MAIN(TEST(test_public), TEST(test_networks), TEST(test_sockets))

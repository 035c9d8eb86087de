// SPDX-License-Identifier: Apache-2.0
//
// Which addresses are the public internet's, for requests to places that a name leads to: a name
// may lead anywhere, to this machine and to the metadata of a cloud too. The lists are IANA's
// registries of special-purpose addresses. An IPv4 address is one of IPv6 here, ::ffff:a.b.c.d.
#ifndef TP_NET_H
#define TP_NET_H

#include "base/tp_str.h"

struct sockaddr;

enum { TP_NET_ADDRESS_SIZE = 16, TP_NET_TEXT_SIZE = 46 };

// All addresses that begin with so many bits.
typedef struct tp_net {
    uint8_t bytes[TP_NET_ADDRESS_SIZE];
    uint8_t bits;
} tp_net;

// "10.0.0.0/8", "fd00::/8", or one address. False for what is none, and where bits are set behind
// the prefix.
bool tp_net_parse(tp_str text, tp_net *ret_net);
bool tp_net_has(const tp_net *net, const uint8_t address[TP_NET_ADDRESS_SIZE]);

// False for other families than IPv4 and IPv6.
bool tp_net_address(const struct sockaddr *socket, uint8_t ret_address[TP_NET_ADDRESS_SIZE]);
void tp_net_print(const uint8_t address[TP_NET_ADDRESS_SIZE], char ret_text[TP_NET_TEXT_SIZE]);
bool tp_net_is_loopback(const uint8_t address[TP_NET_ADDRESS_SIZE]);
// Whether the address is one of the public internet: not private, of a link, of this machine,
// shared, reserved, of a documentation, a group's, nor a way to carry an IPv4 address elsewhere.
bool tp_net_is_public(const uint8_t address[TP_NET_ADDRESS_SIZE]);

#endif

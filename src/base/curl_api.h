// SPDX-License-Identifier: Apache-2.0
//
// The part of libcurl that tp_curl.h uses, as functions found at run time: who calls nobody needs
// no libcurl. Names, numbers and signatures are libcurl's, which keeps its ABI since version 7.16;
// CURLOPT_PROTOCOLS_STR came with 7.85.
#ifndef CURL_API_H
#define CURL_API_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

typedef struct curl_easy CURL;
typedef struct curl_list curl_slist;
typedef size_t curl_move(char *data, size_t size, size_t count, void *user);
typedef struct curl_address {
    int family;
    int type;
    int protocol;
    unsigned int size;
    struct sockaddr address;
} curl_address;
typedef int curl_connect(void *user, int purpose, curl_address *address);
typedef int curl_seek(void *user, int64_t offset, int origin);

enum { CURL_GLOBAL_ALL = 3 };

// Of CURLcode.
enum {
    CURLE_OK = 0,
    CURLE_COULDNT_RESOLVE_PROXY = 5,
    CURLE_COULDNT_RESOLVE_HOST = 6,
    CURLE_COULDNT_CONNECT = 7,
    CURLE_WRITE_ERROR = 23,
    CURLE_OUT_OF_MEMORY = 27,
    CURLE_OPERATION_TIMEDOUT = 28,
    CURLE_PEER_FAILED_VERIFICATION = 60,
    CURLE_SSL_CACERT_BADFILE = 77
};

// Of CURLoption: long, pointer, function and curl_off_t by their thousands.
enum {
    CURLOPT_LOW_SPEED_LIMIT = 19,
    CURLOPT_LOW_SPEED_TIME = 20,
    CURLOPT_SSLVERSION = 32,
    CURLOPT_NOBODY = 44,
    CURLOPT_UPLOAD = 46,
    CURLOPT_FOLLOWLOCATION = 52,
    CURLOPT_SSL_VERIFYPEER = 64,
    CURLOPT_SSL_VERIFYHOST = 81,
    CURLOPT_HTTP_VERSION = 84,
    CURLOPT_NOSIGNAL = 99,
    CURLOPT_TIMEOUT_MS = 155,
    CURLOPT_CONNECTTIMEOUT_MS = 156,
    CURLOPT_WRITEDATA = 10001,
    CURLOPT_URL = 10002,
    CURLOPT_READDATA = 10009,
    CURLOPT_ERRORBUFFER = 10010,
    CURLOPT_USERAGENT = 10018,
    CURLOPT_HTTPHEADER = 10023,
    CURLOPT_HEADERDATA = 10029,
    CURLOPT_CUSTOMREQUEST = 10036,
    CURLOPT_CAINFO = 10065,
    CURLOPT_SEEKDATA = 10168,
    CURLOPT_OPENSOCKETDATA = 10164,
    CURLOPT_NOPROXY = 10177,
    CURLOPT_PROTOCOLS_STR = 10318,
    CURLOPT_WRITEFUNCTION = 20011,
    CURLOPT_READFUNCTION = 20012,
    CURLOPT_HEADERFUNCTION = 20079,
    CURLOPT_OPENSOCKETFUNCTION = 20163,
    CURLOPT_SEEKFUNCTION = 20167,
    CURLOPT_INFILESIZE_LARGE = 30115
};
enum { CURL_ERROR_SIZE = 256, CURL_SSLVERSION_TLSv1_2 = 6, CURL_HTTP_VERSION_1_1 = 2 };
enum { CURLINFO_RESPONSE_CODE = 0x200002, CURL_SOCKET_BAD = -1 };

// X(name, result, parameters)
#define CURL_FUNCTION_MAP(X)                                                                       \
    X(easy_init, CURL *, (void))                                                                   \
    X(easy_reset, void, (CURL * easy))                                                             \
    X(easy_cleanup, void, (CURL * easy))                                                           \
    X(easy_perform, int, (CURL * easy))                                                            \
    X(easy_setopt, int, (CURL * easy, int option, ...))                                            \
    X(easy_getinfo, int, (CURL * easy, int info, ...))                                             \
    X(easy_strerror, const char *, (int code))                                                     \
    X(global_init, int, (long flags))                                                              \
    X(slist_append, curl_slist *, (curl_slist * list, const char *text))                           \
    X(slist_free_all, void, (curl_slist * list))                                                   \
    X(version, char *, (void))

typedef struct curl_api {
#define CURL_MEMBER(name, result, parameters) result(*name) parameters;
    CURL_FUNCTION_MAP(CURL_MEMBER)
#undef CURL_MEMBER
} curl_api;

#endif

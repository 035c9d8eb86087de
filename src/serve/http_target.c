// SPDX-License-Identifier: Apache-2.0
//
// From a request target to path segments. Percent-encoding is undone exactly once and after the
// path was cut at its slashes: a %2F is a byte of a name. What could mean another place than it
// says is refused rather than normalised: ".", "..", "\", ";", an empty segment, control bytes,
// text that is not UTF-8 (overlong forms included). A route never sees such a name, so none reaches
// a file system.
#include "serve/tp_http.h"

#include "base/tp_hex.h"

#include <string.h>

// Decodes `text` to the end of request.decoded_path, which has room for the whole path.
static bool decode_segment(tp_buffer *out, tp_str text, tp_str *ret_segment)
{
    char *begin = out->data + out->size;
    char *to = begin;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%') {
            const int byte = text.size - i < 3 ? -1 : tp_hex_byte(text.data + i + 1);
            if (byte < 0) {
                return false;
            }
            c = (char)byte;
            i += 2;
        }
        const unsigned char code = (unsigned char)c;
        if (code < 0x20 || code == 0x7f || c == '\\' || c == ';') {
            return false;
        }
        *to++ = c;
    }
    *ret_segment = (tp_str){begin, (size_t)(to - begin)};
    out->size += ret_segment->size;
    return true;
}

static bool is_plain_segment(tp_str segment)
{
    return segment.size > 0 && !tp_str_equal(segment, TP_STR(".")) &&
           !tp_str_equal(segment, TP_STR("..")) && !tp_str_has_prefix(segment, TP_STR("../")) &&
           !tp_str_has_suffix(segment, TP_STR("/..")) &&
           !tp_str_contains(segment, TP_STR("/../")) && tp_utf8_check(segment, NULL);
}

static int split_path(tp_http_request *request, tp_str path, const char **ret_why)
{
    // Decoding never makes longer; with room for all, views into the buffer stay valid.
    if (tp_buffer_reserve(&request->decoded_path, path.size + 1) == NULL) {
        *ret_why = "out of memory";
        return 503;
    }
    size_t begin = 1;
    while (begin < path.size || (begin == path.size && path.size > 1)) {
        size_t end = begin;
        while (end < path.size && path.data[end] != '/') {
            end++;
        }
        if (request->segment_count == TP_MAX_HTTP_SEGMENTS) {
            *ret_why = "path of too many segments";
            return 414;
        }
        tp_str *segment = &request->segments[request->segment_count];
        if (!decode_segment(&request->decoded_path, (tp_str){path.data + begin, end - begin},
                            segment) ||
            !is_plain_segment(*segment)) {
            *ret_why = "malformed path";
            return 400;
        }
        request->segment_count++;
        begin = end + 1;
    }
    return 0;
}

int tp_http_target_split(tp_http_request *request, const char **ret_why)
{
    tp_str path = request->target;
    request->segment_count = 0;
    request->query = (tp_str){NULL, 0};
    tp_buffer_clear(&request->decoded_path);
    if (tp_str_equal(path, TP_STR("*")) && request->method == TP_HTTP_OPTIONS) {
        return 0;
    }
    if (path.size > 7 && tp_str_equal_ignore_case((tp_str){path.data, 7}, TP_STR("http://"))) {
        path = (tp_str){path.data + 7, path.size - 7};
        while (path.size > 0 && path.data[0] != '/' && path.data[0] != '?') {
            path = (tp_str){path.data + 1, path.size - 1};
        }
        if (path.size == 0) {
            path = TP_STR("/");
        }
    }
    for (size_t i = 0; i < path.size; i++) {
        const unsigned char byte = (unsigned char)path.data[i];
        if (byte <= 0x20 || byte >= 0x7f || byte == '#') {
            *ret_why = "malformed request target";
            return 400;
        }
    }
    const char *mark = memchr(path.data, '?', path.size);
    if (mark != NULL) {
        const size_t size = (size_t)(mark - path.data);
        request->query = (tp_str){mark + 1, path.size - size - 1};
        path.size = size;
    }
    if (path.size == 0 || path.data[0] != '/') {
        *ret_why = "malformed request target";
        return 400;
    }
    return split_path(request, path, ret_why);
}

// SPDX-License-Identifier: Apache-2.0
//
// Reads the XML of S3's answers: elements and their text, nothing else. No declarations of types,
// no entities but XML's own five and numbers, no comments, no CDATA, no processing instructions
// behind the first line: S3 writes none of these, and what has them is refused.
//
// A reader of our own because S3 needs the text of six elements out of documents that a machine
// wrote, and a general parser would be linked into every program for that.
#ifndef S3_XML_H
#define S3_XML_H

#include "base/tp_buffer.h"

typedef struct s3_xml_element {
    tp_str parent; // its name; empty for the outermost
    tp_str name;
    tp_str text;    // decoded, of an element without others in it
    uint32_t depth; // 0: the outermost
} s3_xml_element;

// Called at the end of every element, the inner ones first.
typedef tapeout_status s3_xml_take(void *user, const s3_xml_element *element, tapeout_error *err);

// E_CORRUPT with the byte, E_LIMIT where elements lie too deep, E_NOMEM, or what `take` fails with.
tapeout_status tp_s3_xml_read(const tapeout_allocator *alloc, tp_str document, s3_xml_take *take,
                              void *user, tapeout_error *err);

#endif

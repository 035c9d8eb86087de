// SPDX-License-Identifier: Apache-2.0
//
// Names and sentences of the status codes, from the one map in the public header.
#include <tapeout/status.h>

// No `default`: a code that the map gains is a warning here until it has its case.
const char *tapeout_status_name(tapeout_status status)
{
    switch (status) {
#define STATUS_NAME(name, value, meaning, action)                                                  \
    case TAPEOUT_##name:                                                                           \
        return #name;
        TAPEOUT_STATUS_MAP(STATUS_NAME)
#undef STATUS_NAME
    }
    return "E_INTERNAL";
}

const char *tapeout_status_text(tapeout_status status)
{
    switch (status) {
#define STATUS_TEXT(name, value, meaning, action)                                                  \
    case TAPEOUT_##name:                                                                           \
        return meaning;
        TAPEOUT_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "a fault in tapeout";
}

// SPDX-License-Identifier: Apache-2.0
//
// Every maximum of the project, by name, unit and reason. What comes from a file or a socket is
// counted against one of these before memory is asked for. A module adds its own section.
#ifndef TP_LIMITS_H
#define TP_LIMITS_H

// -- base ----------------------------------------------------------------------------------------
#define TP_MAX_THREADS 256u
#define TP_MAX_PATH_BYTES 4096u

// -- table ---------------------------------------------------------------------------------------
#define TP_MAX_TABLE_ROWS UINT32_MAX // row indexes are 32 bits wide

#endif

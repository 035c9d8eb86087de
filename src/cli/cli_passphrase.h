// SPDX-License-Identifier: Apache-2.0
//
// A key's passphrase: from a file, from the environment, or asked for without an echo. It stands in
// one place and is wiped when the verb ends.
#ifndef CLI_PASSPHRASE_H
#define CLI_PASSPHRASE_H

#include "cli/cli.h"

enum { CLI_PASSPHRASE_SIZE = 1026 };

typedef struct cli_passphrase {
    char text[CLI_PASSPHRASE_SIZE];
} cli_passphrase;

// --passphrase-file, else TAPEOUT_PASSPHRASE, else the terminal, where a new one is asked for
// twice. False after a message.
bool cli_passphrase_read(cli *self, const char *key, bool is_new, cli_passphrase *ret_passphrase);
void cli_passphrase_wipe(cli_passphrase *passphrase);

#endif

// SPDX-License-Identifier: Apache-2.0
//
// Reading passphrases. They are never arguments, which every process of the machine can read, and
// never printed.
#include "cli/cli_passphrase.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

void cli_passphrase_wipe(cli_passphrase *passphrase)
{
    explicit_bzero(passphrase, sizeof(*passphrase));
}

// One line without its end; false where it is empty, too long or not there.
static bool read_line(int fd, cli_passphrase *passphrase)
{
    size_t size = 0;
    char c = 0;
    ssize_t got = read(fd, &c, 1);
    while (got == 1 && c != '\n' && size + 1 < sizeof(passphrase->text)) {
        passphrase->text[size++] = c;
        got = read(fd, &c, 1);
    }
    if (size > 0 && passphrase->text[size - 1] == '\r') {
        size--;
    }
    passphrase->text[size] = '\0';
    return got >= 0 && size > 0 && size + 1 < sizeof(passphrase->text) &&
           strlen(passphrase->text) == size;
}

static bool read_file(cli *self, const char *path, cli_passphrase *ret_passphrase)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        (void)fprintf(stderr, "tapeout: %s: the passphrase's file cannot be read\n", path);
        return false;
    }
    const bool is_good = read_line(fd, ret_passphrase);
    (void)close(fd);
    if (!is_good) {
        (void)fprintf(stderr, "tapeout: %s: its first line is no passphrase of 1 to %d bytes\n",
                      path, CLI_PASSPHRASE_SIZE - 2);
    }
    (void)self;
    return is_good;
}

static bool read_environment(const char *value, cli_passphrase *ret_passphrase)
{
    const size_t size = strlen(value);
    if (size == 0 || size + 2 > sizeof(ret_passphrase->text)) {
        (void)fprintf(stderr, "tapeout: TAPEOUT_PASSPHRASE has %zu bytes, expected 1 to %d\n", size,
                      CLI_PASSPHRASE_SIZE - 2);
        return false;
    }
    memcpy(ret_passphrase->text, value, size + 1);
    return true;
}

static bool ask(int terminal, const char *question, const char *key, cli_passphrase *ret_passphrase)
{
    struct termios old;
    if (tcgetattr(terminal, &old) != 0) {
        return false;
    }
    struct termios quiet = old;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    (void)tcsetattr(terminal, TCSAFLUSH, &quiet); // before the question: quick fingers show nothing
    (void)dprintf(terminal, "%s \"%s\": ", question, key);
    const bool is_good = read_line(terminal, ret_passphrase);
    (void)tcsetattr(terminal, TCSAFLUSH, &old);
    (void)dprintf(terminal, "\n");
    if (!is_good) {
        (void)fputs("tapeout: a passphrase has 1 to 1024 bytes\n", stderr);
    }
    return is_good;
}

static bool ask_twice(int terminal, const char *key, cli_passphrase *ret_passphrase)
{
    cli_passphrase again;
    const bool is_read = ask(terminal, "new passphrase of key", key, ret_passphrase) &&
                         ask(terminal, "once more, of key", key, &again);
    const bool is_same = is_read && strcmp(ret_passphrase->text, again.text) == 0;
    if (is_read && !is_same) {
        (void)fputs("tapeout: the two passphrases differ\n", stderr);
    }
    cli_passphrase_wipe(&again);
    return is_same;
}

bool cli_passphrase_read(cli *self, const char *key, bool is_new, cli_passphrase *ret_passphrase)
{
    const char *path = cli_value(self, "passphrase-file");
    const char *value = getenv("TAPEOUT_PASSPHRASE");
    if (path != NULL) {
        return read_file(self, path, ret_passphrase);
    }
    if (value != NULL) {
        return read_environment(value, ret_passphrase);
    }
    const int terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0) {
        (void)fprintf(stderr,
                      "tapeout: key \"%s\" needs a passphrase, and there is no terminal to ask on: "
                      "give --passphrase-file or TAPEOUT_PASSPHRASE%s\n",
                      key, is_new ? ", or say --no-passphrase" : "");
        return false;
    }
    const bool is_good = is_new ? ask_twice(terminal, key, ret_passphrase)
                                : ask(terminal, "passphrase of key", key, ret_passphrase);
    (void)close(terminal);
    return is_good;
}

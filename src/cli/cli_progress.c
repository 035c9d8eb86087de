// SPDX-License-Identifier: Apache-2.0
//
// Progress on a terminal: the phase, a bar and the time left, rewritten in place on one line of
// stderr and wiped before anything else is printed. The time left is that of the phase alone, by
// the pace so far, and is not said before a pace can be told.
#include "cli/cli.h"

#include <string.h>
#include <time.h>

enum { BAR_WIDTH = 30, REDRAW_MS = 100, PACE_MS = 500 };

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); // fails for an unknown clock alone
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// "1:05:09", "12:30" or "8 s".
static void format_left(double seconds, char *text, size_t size)
{
    const unsigned whole = seconds < 360000 ? (unsigned)(seconds + 0.5) : 360000;
    if (whole < 60) {
        (void)snprintf(text, size, "%u s left", whole);
    } else if (whole < 3600) {
        (void)snprintf(text, size, "%u:%02u left", whole / 60, whole % 60);
    } else {
        (void)snprintf(text, size, "%u:%02u:%02u left", whole / 3600, whole / 60 % 60, whole % 60);
    }
}

static void draw_bar(cli *self, const char *phase, double fraction, uint64_t elapsed_ms)
{
    char bar[BAR_WIDTH + 1];
    char left[32] = "";
    const int filled = (int)(fraction * BAR_WIDTH + 0.5);
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', (size_t)filled);
    bar[BAR_WIDTH] = '\0';
    if (elapsed_ms >= PACE_MS && fraction >= 0.01 && fraction < 1) {
        format_left((double)elapsed_ms * (1 - fraction) / fraction * 1e-3, left, sizeof(left));
    }
    self->progress_width =
        fprintf(stderr, "\r\033[K%-9s [%s] %3d %%  %s", phase, bar, (int)(fraction * 100), left);
}

void cli_progress(void *user, const char *phase, double fraction)
{
    cli *self = user;
    const uint64_t now = now_ms();
    const bool is_new = self->progress_phase == NULL || strcmp(phase, self->progress_phase) != 0;
    if (is_new) {
        self->progress_phase = phase;
        self->phase_start_ms = now;
    } else if (now - self->progress_drawn_ms < REDRAW_MS) {
        return;
    }
    self->progress_drawn_ms = now;
    if (!(fraction >= 0)) {
        self->progress_width = fprintf(stderr, "\r\033[K%s ...", phase);
    } else {
        draw_bar(self, phase, fraction < 1 ? fraction : 1, now - self->phase_start_ms);
    }
    (void)fflush(stderr);
}

void cli_progress_end(cli *self)
{
    if (self->progress_width > 0) {
        (void)fputs("\r\033[K", stderr);
        self->progress_width = 0;
    }
    self->progress_phase = NULL;
}

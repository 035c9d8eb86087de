// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints and keys of logs. No note but those that were signed is believed: what is accepted
// must say what the one signature that there is was made for. A key that is read is written back
// as it was.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "trust/tp_checkpoint.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Made by an implementation that is not ours; the corpus has the note that it signed.
static const char key_text[] =
    "example.org/log+98af023b+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
enum { SIGNED_SIZE = 510100 };

static void read_key(tp_str text)
{
    tp_note_key key;
    tp_buffer again;
    if (tp_note_key_read(text, &key, NULL) != TAPEOUT_OK) {
        return;
    }
    tp_buffer_init(&again, tp_allocator_default(), TP_MAX_CHECKPOINT_BYTES);
    tp_note_key_write(&key, &again);
    text = tp_str_trim(text);
    if (again.size != text.size + 1 || memcmp(again.data, text.data, text.size) != 0) {
        abort();
    }
    tp_buffer_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_str text = {(const char *)data, size};
    tp_note_key key;
    tp_checkpoint checkpoint;
    if (tp_note_key_read(tp_str_from(key_text), &key, NULL) != TAPEOUT_OK) {
        abort();
    }
    if (tp_checkpoint_read(text, &key, &checkpoint, NULL) == TAPEOUT_OK &&
        checkpoint.size != SIGNED_SIZE) {
        abort();
    }
    read_key(text);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Changes of texts: see mutant.h.
#include "mutant.h"

#include "base/tp_random.h"

#include <string.h>

size_t mutant_draw(mutant *self, size_t bound)
{
    return (size_t)tp_random_below(20261125, self->round, self->draw++, bound);
}

void mutant_change(mutant *self, tp_str donor)
{
    const size_t at = mutant_draw(self, self->size);
    const size_t left = self->size - at;
    const size_t span = 1 + mutant_draw(self, left < 40 ? left : 40);
    switch (mutant_draw(self, 7)) {
    case 0:
        self->data[at] = (char)(self->data[at] ^ (1 << mutant_draw(self, 8)));
        break;
    case 1:
        self->data[at] = (char)mutant_draw(self, 256);
        break;
    case 2:
        memmove(self->data + at, self->data + at + span, left - span);
        self->size -= span;
        break;
    case 3: // twice the same
        memmove(self->data + at + span, self->data + at, left);
        self->size += span;
        break;
    case 4:
        self->size = at;
        break;
    case 5: {
        const size_t other = mutant_draw(self, self->size);
        const char kept = self->data[at];
        self->data[at] = self->data[other];
        self->data[other] = kept;
        break;
    }
    default: // what stands there in another one
        if (at + span <= donor.size && at + span <= self->size) {
            memcpy(self->data + at, donor.data + at, span);
        }
        break;
    }
}

// SPDX-License-Identifier: Apache-2.0
// Written by make_checkpoint_notes.py.
static const char note_key[] = "example.org/log+98af023b+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
static const char note_good[] = "example.org/log\n510100\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n\342\200\224 example.org/log mK8CO3uU/iQdD/X+HEKcIa1E0Qjsonj1Ezcx9PwucSqWkkrWxSkRq72ES1XMUM+80DGtemcQvhmCX/KhZwl+eGhUDQ4=\n";
static const char note_with_witness[] = "example.org/log\n510100\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n\342\200\224 example.org/log mK8CO3uU/iQdD/X+HEKcIa1E0Qjsonj1Ezcx9PwucSqWkkrWxSkRq72ES1XMUM+80DGtemcQvhmCX/KhZwl+eGhUDQ4=\n\342\200\224 witness +qweKvAfnzhlkqCxak0945RpC04YsViqH2q6L+kyVs7altj0D7VAryZLhBfH2yswXYYVwH0r2sXwB/ISQ5o4egXzsAc=\n";
static const char note_other_origin[] = "example.org/log2\n510100\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n\342\200\224 example.org/log mK8CO6P8IjD/pnSFOHvkao3aUuhPCV4wEk6lN/Oyk1xVwakUAvTcRFYHCV0/mB+wFiX0Epgv6J6nS6JQb/4/qBhgkQA=\n";

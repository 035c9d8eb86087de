// SPDX-License-Identifier: Apache-2.0
//
// Changes and their entries: see tp_telling.h. The file HOME/changes is one line of MARK_BYTES,
// written in place, so that it fits a sector:
//
//     <id, 32 digits> <number of the last deed, 20 digits> <open|done> <kind> … \n
//
// "done" is only a short cut, and not synced: a deed that stands as open is asked for in the table
// `told`. docs/formats/audit.md has the form.
#include "registry/tp_telling.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"
#include "table/tp_json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    MARK_BYTES = 128,
    ID_DIGITS = 32,
    DEED_AT = ID_DIGITS + 1,
    DEED_DIGITS = 20,
    STATE_AT = DEED_AT + DEED_DIGITS + 1,
    STATE_BYTES = 4,
    KIND_AT = STATE_AT + STATE_BYTES + 1,
    SAID_BYTES = 4 * TP_MAX_AUDIT_WHAT_BYTES // of fields before they are cut
};

typedef struct change_mark {
    int fd; // holds the lock
    char path[TP_MAX_PATH_BYTES];
    char id[ID_DIGITS + 1];
    uint64_t deed;
    bool is_open; // begun, and not known to be done
    char kind[TP_MAX_AUDIT_KIND_BYTES + 1];
} change_mark;

// A change on its way.
typedef struct act {
    const tp_told_place *place;
    change_mark *mark;
    tp_store_body body;
    void *user;
    tp_telling *telling;
    char deed[ID_DIGITS + DEED_DIGITS + 2];
    tp_buffer said; // what the log was told
    bool is_told;
    bool is_noted; // in the table, by the last attempt
} act;

void tp_registry_teller_set(tp_registry *registry, const tp_teller *teller)
{
    registry->teller = teller == NULL ? (tp_teller){.audit = NULL} : *teller;
}

void tp_telling_add(tp_telling *telling, const char *key, tp_str text)
{
    if (telling->field_count < TP_TELLING_FIELDS) {
        telling->fields[telling->field_count++] = (tp_audit_field){key, text};
    }
}

// -- the file ------------------------------------------------------------------------------------
static tapeout_status fail_file(const change_mark *mark, const char *what, tapeout_error *err)
{
    return tp_fail_errno(err, errno, "registry: %s %s", what, mark->path);
}

// Where a disk lost the sync, nothing more is written by this process.
static tapeout_status sync_mark(const tp_told_place *place, const change_mark *mark,
                                tapeout_error *err)
{
    if (fdatasync(mark->fd) == 0) {
        return TAPEOUT_OK;
    }
    tp_store_stop(place->store);
    return tp_fail_sync(err, errno, mark->path);
}

static tapeout_status write_mark(const change_mark *mark, tapeout_error *err)
{
    char line[MARK_BYTES + 1];
    const int size =
        snprintf(line, sizeof(line), "%s %020llu %s %s", mark->id, (unsigned long long)mark->deed,
                 mark->is_open ? "open" : "done", mark->kind);
    memset(line + size, ' ', sizeof(line) - (size_t)size);
    line[MARK_BYTES - 1] = '\n';
    return pwrite(mark->fd, line, MARK_BYTES, 0) == MARK_BYTES
               ? TAPEOUT_OK
               : fail_file(mark, "cannot write", err);
}

// A file that was never written has an id of its own from here on.
static tapeout_status name_mark(const tp_told_place *place, change_mark *mark, tapeout_error *err)
{
    uint64_t bits[2];
    if (getrandom(bits, sizeof(bits), 0) != (ssize_t)sizeof(bits)) {
        return tp_fail_errno(err, errno, "registry: no random numbers");
    }
    (void)snprintf(mark->id, sizeof(mark->id), "%016llx%016llx", (unsigned long long)bits[0],
                   (unsigned long long)bits[1]);
    TP_TRY(write_mark(mark, err));
    TP_TRY(sync_mark(place, mark, err));
    return tp_directory_sync(mark->path, err);
}

static tapeout_status parse_mark(const char *line, change_mark *mark, tapeout_error *err)
{
    const tp_str kind = {line + KIND_AT, TP_MAX_AUDIT_KIND_BYTES};
    const bool is_open = memcmp(line + STATE_AT, "open", STATE_BYTES) == 0;
    const char *end = memchr(kind.data, ' ', kind.size);
    if ((!is_open && memcmp(line + STATE_AT, "done", STATE_BYTES) != 0) ||
        !tp_str_to_uint64((tp_str){line + DEED_AT, DEED_DIGITS}, &mark->deed)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "registry: %s is damaged, so that nobody knows what a process that was "
                       "killed had begun; look at the end of the audit log, then remove the file",
                       mark->path);
    }
    mark->is_open = is_open;
    memcpy(mark->id, line, ID_DIGITS);
    memcpy(mark->kind, kind.data, end == NULL ? kind.size : (size_t)(end - kind.data));
    return TAPEOUT_OK;
}

static tapeout_status read_mark(const tp_told_place *place, change_mark *mark, tapeout_error *err)
{
    char line[MARK_BYTES] = {0};
    const ssize_t size = pread(mark->fd, line, sizeof(line), 0);
    if (size < 0) {
        return fail_file(mark, "cannot read", err);
    }
    // Its first bytes are not there where the power went while it was made.
    return line[0] == '\0' ? name_mark(place, mark, err) : parse_mark(line, mark, err);
}

static bool name_path(change_mark *mark, const char *home)
{
    const int size = snprintf(mark->path, sizeof(mark->path), "%s/changes", home);
    return size > 0 && (size_t)size < sizeof(mark->path);
}

// Not for ever: whoever has it may be stopped, and threads of a server wait here.
static tapeout_status lock_mark(const change_mark *mark, tapeout_error *err)
{
    for (unsigned waited_ms = 0; flock(mark->fd, LOCK_EX | LOCK_NB) != 0; waited_ms++) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return fail_file(mark, "cannot lock", err);
        }
        if (waited_ms >= TP_REGISTRY_BUSY_MS) {
            return tp_fail(err, TAPEOUT_E_BUSY, "registry: %s: another process holds it: try again",
                           mark->path);
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return TAPEOUT_OK;
}

static tapeout_status open_mark(const tp_told_place *place, change_mark *mark, tapeout_error *err)
{
    *mark = (change_mark){.fd = -1};
    if (!name_path(mark, place->home)) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "registry: the path of the home directory is too long");
    }
    if (!tp_path_exists(mark->path)) {
        TP_TRY(tp_directory_make(place->home, err));
    }
    mark->fd = open(mark->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (mark->fd < 0) {
        return fail_file(mark, "cannot write", err);
    }
    TP_TRY(lock_mark(mark, err));
    return read_mark(place, mark, err);
}

static void close_mark(change_mark *mark)
{
    if (mark->fd >= 0) {
        (void)close(mark->fd); // lets the lock go
    }
}

// -- saying --------------------------------------------------------------------------------------
static void name_deed(const change_mark *mark, char ret_deed[ID_DIGITS + DEED_DIGITS + 2])
{
    (void)snprintf(ret_deed, ID_DIGITS + DEED_DIGITS + 2, "%s-%llu", mark->id,
                   (unsigned long long)mark->deed);
}

// The object that was given, and the deed as its last member.
static tapeout_status say_whole(const tp_told_place *place, const tp_telling *telling,
                                const char *deed, tapeout_error *err)
{
    tp_buffer what;
    tp_buffer_init(&what, place->alloc, TP_MAX_AUDIT_WHAT_BYTES);
    tp_buffer_append(&what, telling->what.data, telling->what.size - 1);
    tp_buffer_append_text(&what, ",\"deed\":");
    tp_json_append_str(&what, tp_str_from(deed));
    tp_buffer_append_char(&what, '}');
    tapeout_status status = tp_buffer_check(&what, "audit: an entry", err);
    if (status == TAPEOUT_OK) {
        const tp_audit_event event = {telling->kind, place->teller.who, tp_buffer_view(&what), 0};
        status = tp_audit_append(place->teller.audit, &event, NULL, err);
    }
    tp_buffer_deinit(&what);
    return status;
}

static tapeout_status say(const tp_told_place *place, const tp_telling *telling, const char *deed,
                          tapeout_error *err)
{
    const tp_teller *teller = &place->teller;
    if (telling->what.size > 0) {
        return say_whole(place, telling, deed, err);
    }
    tp_audit_field fields[TP_TELLING_FIELDS + 2];
    size_t count = 0;
    if (teller->tenant.data != NULL) {
        fields[count++] = (tp_audit_field){"tenant", teller->tenant};
    }
    for (size_t i = 0; i < telling->field_count; i++) {
        fields[count++] = telling->fields[i];
    }
    fields[count++] = (tp_audit_field){"deed", tp_str_from(deed)};
    const tp_audit_note note = {telling->kind, teller->who, fields, count};
    return tp_audit_tell(teller->audit, &note, err);
}

static tapeout_status say_not_done(const tp_told_place *place, const change_mark *mark,
                                   const char *why, tapeout_error *err)
{
    char deed[ID_DIGITS + DEED_DIGITS + 2];
    tp_telling telling = {.kind = "change.not_done"};
    name_deed(mark, deed);
    tp_telling_add(&telling, "what", tp_str_from(mark->kind));
    tp_telling_add(&telling, "why", tp_str_from(why));
    return say(place, &telling, deed, err);
}

// -- what a process left that died ---------------------------------------------------------------
typedef struct asking {
    const char *id;
    int64_t deed;
} asking;

// The last deed that was done. It is written and not only read: that waits for a transaction that
// is still on its way, and it covers up, in SQLite's log, what a process that was killed had
// written of its commit and not yet shown to others, which would come to light when the log is next
// recovered.
static tapeout_status ask_last(tp_store *store, void *user, tapeout_error *err)
{
    asking *it = user;
    tp_rows rows;
    tp_store_query(store, &rows,
                   "INSERT INTO told(log, deed, asked) VALUES($1, 0, 1) ON CONFLICT(log) DO UPDATE "
                   "SET asked = told.asked + 1 RETURNING deed",
                   TP_SQL(tp_sql_word(it->id)));
    while (tp_rows_next(&rows)) {
        it->deed = tp_rows_int(&rows, 0);
    }
    return tp_rows_close(&rows, err);
}

static tapeout_status settle(const tp_told_place *place, change_mark *mark, tapeout_error *err)
{
    asking it = {.id = mark->id};
    TP_TRY(tp_store_transact(place->store, TP_STORE_ROWS, ask_last, &it, err));
    if ((uint64_t)it.deed < mark->deed) {
        TP_TRY(say_not_done(place, mark, "the process ended or the answer was lost", err));
    }
    mark->is_open = false;
    return TAPEOUT_OK;
}

bool tp_registry_has_open_change(const char *home)
{
    change_mark mark;
    char state[STATE_BYTES] = {0};
    mark.fd = name_path(&mark, home) ? open(mark.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    const bool is_read =
        mark.fd >= 0 && pread(mark.fd, state, sizeof(state), STATE_AT) == sizeof(state);
    close_mark(&mark);
    return is_read && memcmp(state, "open", sizeof(state)) == 0;
}

static tp_told_place place_of(const tp_registry *registry, const tp_teller *teller)
{
    return (tp_told_place){registry->alloc, registry->home, registry->store, *teller};
}

tapeout_status tp_registry_settle(tp_registry *registry, const tp_teller *teller,
                                  tapeout_error *err)
{
    change_mark mark;
    const tp_told_place place = place_of(registry, teller);
    tapeout_status status = open_mark(&place, &mark, err);
    if (status == TAPEOUT_OK && mark.is_open) {
        status = settle(&place, &mark, err);
        if (status == TAPEOUT_OK) {
            status = write_mark(&mark, err);
        }
    }
    close_mark(&mark);
    return status;
}

// -- a change ------------------------------------------------------------------------------------
static tapeout_status begin(const tp_told_place *place, const tp_telling *telling,
                            change_mark *mark, tapeout_error *err)
{
    TP_TRY(open_mark(place, mark, err));
    if (mark->is_open) {
        TP_TRY(settle(place, mark, err));
    }
    mark->deed++;
    mark->is_open = true;
    (void)snprintf(mark->kind, sizeof(mark->kind), "%s", telling->kind);
    TP_TRY(write_mark(mark, err));
    return sync_mark(place, mark, err);
}

// The telling as bytes, to compare.
static tapeout_status write_said(const tp_telling *telling, tp_buffer *said, tapeout_error *err)
{
    tp_buffer_append_str(said, telling->what);
    for (size_t i = 0; i < telling->field_count; i++) {
        tp_buffer_append_text(said, telling->fields[i].key);
        tp_buffer_append_char(said, '\0');
        tp_buffer_append_str(said, telling->fields[i].text);
        tp_buffer_append_char(said, '\0');
    }
    return tp_buffer_check(said, "audit: an entry", err);
}

// A store may do the transaction again. Then the log hears of it once more only where something
// else came out of it, and of several entries of a deed the last counts.
static tapeout_status say_once(act *it, tapeout_error *err)
{
    tp_buffer now;
    tp_buffer_init(&now, it->place->alloc, SAID_BYTES);
    tapeout_status status = write_said(it->telling, &now, err);
    const bool is_said =
        it->is_told && tp_str_equal(tp_buffer_view(&now), tp_buffer_view(&it->said));
    if (status == TAPEOUT_OK && !is_said) {
        status = say(it->place, it->telling, it->deed, err);
    }
    if (status == TAPEOUT_OK && !is_said) {
        it->is_told = true;
        tp_buffer_clear(&it->said);
        tp_buffer_append_str(&it->said, tp_buffer_view(&now));
        status = tp_buffer_check(&it->said, "audit: an entry", err);
    }
    tp_buffer_deinit(&now);
    return status;
}

static tapeout_status tell_behind(tp_store *store, void *user, tapeout_error *err)
{
    act *it = user;
    it->telling->field_count = 0;
    it->telling->what = (tp_str){NULL, 0};
    it->is_noted = false;
    TP_TRY(it->body(store, it->user, err));
    if (it->telling->field_count == 0 && it->telling->what.size == 0) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_store_run(store,
                        "INSERT INTO told(log, deed) VALUES($1, $2) ON CONFLICT(log) DO UPDATE SET "
                        "deed = excluded.deed",
                        TP_SQL(tp_sql_word(it->mark->id), tp_sql_int((int64_t)it->mark->deed)),
                        NULL, err));
    it->is_noted = true;
    return say_once(it, err);
}

// What the log could not be told, and what nobody knows yet, stays open for the next change: an
// answer that was lost, and a commit whose sync failed, which may be on disk all the same.
static void end(const act *it, tapeout_status status)
{
    const bool is_known = status != TAPEOUT_E_UNKNOWN && status != TAPEOUT_E_IO;
    // Done again, it may have found that there was nothing to do any more.
    const bool holds = status == TAPEOUT_OK && it->is_noted;
    const char *why =
        status == TAPEOUT_OK ? "somebody else had done it" : tapeout_status_name(status);
    const bool was_said = !it->is_told || holds ||
                          (is_known && say_not_done(it->place, it->mark, why, NULL) == TAPEOUT_OK);
    if (was_said) {
        it->mark->is_open = false;
        (void)write_mark(it->mark, NULL); // only spares the next change a question
    }
}

tapeout_status tp_told_transact(const tp_told_place *place, tp_store_kind kind, tp_store_body body,
                                void *user, tp_telling *telling, tapeout_error *err)
{
    change_mark mark;
    act it = {.place = place, .mark = &mark, .body = body, .user = user, .telling = telling};
    if (place->teller.audit == NULL) {
        return tp_store_transact(place->store, kind, body, user, err);
    }
    tapeout_status status = begin(place, telling, &mark, err);
    if (status == TAPEOUT_OK) {
        name_deed(&mark, it.deed);
        tp_buffer_init(&it.said, place->alloc, SAID_BYTES);
        status = tp_store_transact(place->store, kind, tell_behind, &it, err);
        end(&it, status);
        tp_buffer_deinit(&it.said);
    }
    close_mark(&mark);
    return status;
}

tapeout_status tp_registry_transact(tp_registry *registry, tp_store_kind kind, tp_store_body body,
                                    void *user, tp_telling *telling, tapeout_error *err)
{
    const tp_told_place place = place_of(registry, &registry->teller);
    return tp_told_transact(&place, kind, body, user, telling, err);
}

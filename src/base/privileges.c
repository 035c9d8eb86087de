// SPDX-License-Identifier: Apache-2.0
//
// Becoming another user for good: groups, then the group, then the user, each of the three kinds of
// id at once, for all threads (the C library sees to that). Whether it holds is tried and not
// believed.
#include "base/tp_sandbox.h"

#include "base/tp_error.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

tapeout_status tp_sandbox_become(const char *name, tapeout_error *err)
{
    char texts[16384];
    struct passwd entry;
    struct passwd *found = NULL;
    const int code = getpwnam_r(name, &entry, texts, sizeof(texts), &found);
    if (found == NULL) {
        return code == 0 ? tp_fail(err, TAPEOUT_E_NOT_FOUND, "there is no user \"%s\"", name)
                         : tp_fail_errno(err, code, "cannot look up user \"%s\"", name);
    }
    if (entry.pw_uid == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "user \"%s\" is root, which is what is to be given up", name);
    }
    if (geteuid() != 0) {
        return geteuid() == entry.pw_uid && getuid() == entry.pw_uid
                   ? TAPEOUT_OK
                   : tp_fail(err, TAPEOUT_E_DENIED,
                             "only root can become \"%s\"; start as root, or as that user", name);
    }
    if (initgroups(name, entry.pw_gid) != 0 ||
        setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid) != 0 ||
        setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return tp_fail_errno(err, errno, "cannot become \"%s\"", name);
    }
    if (setresuid(0, 0, 0) == 0 || geteuid() == 0) {
        return tp_fail(err, TAPEOUT_E_DENIED, "root could be had back after becoming \"%s\"", name);
    }
    return TAPEOUT_OK;
}

// SPDX-License-Identifier: Apache-2.0
//
// Short ways into the audit log for its tests.
#include "audit_cases.h"

#include "base/tp_alloc.h"
#include "base/tp_file.h"

#include <string.h>

const char *audit_case_home(void)
{
    static char home[AUDIT_CASES_PATH];
    (void)snprintf(home, sizeof(home), "%s/home", test_temp_dir());
    return home;
}

tp_audit *audit_case_open(const char *home)
{
    tp_audit *audit = NULL;
    ASSERT_OK(tp_audit_open(tp_allocator_default(), home, &audit, &test_err));
    return audit;
}

uint64_t audit_case_append(tp_audit *audit, uint64_t number)
{
    char what[64];
    const int size = snprintf(what, sizeof(what), "{\"n\":%llu}", (unsigned long long)number);
    const tp_audit_event event = {
        .kind = "test", .who = TP_STR("tester"), .what = {what, (size_t)size}};
    uint64_t sequence = 0;
    ASSERT_OK(tp_audit_append(audit, &event, &sequence, &test_err));
    return sequence;
}

void audit_case_fill(const char *home, uint64_t count)
{
    tp_audit *audit = audit_case_open(home);
    for (uint64_t i = 0; i < count; i++) {
        (void)audit_case_append(audit, i);
    }
    tp_audit_close(&audit);
}

const char *audit_case_path(const char *home, const char *name)
{
    static char paths[4][AUDIT_CASES_PATH];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, AUDIT_CASES_PATH, "%s/audit/%s", home, name);
    return path;
}

const char *audit_case_segment(const char *home, uint64_t first)
{
    char name[AUDIT_NAME_SIZE];
    (void)snprintf(name, sizeof(name), "%020llu.log", (unsigned long long)first);
    return audit_case_path(home, name);
}

tp_str audit_case_read(const char *path)
{
    tp_str data = {NULL, 0};
    ASSERT_OK(tp_file_read(tp_allocator_default(), path, (size_t)1 << 30, &data, &test_err));
    return data;
}

void audit_case_free(tp_str data)
{
    tp_free(tp_allocator_default(), (char *)(uintptr_t)data.data, data.size + 1);
}

void audit_case_write(const char *path, tp_str data)
{
    FILE *file = fopen(path, "wb");
    ASSERT(file != NULL);
    ASSERT_EQ_UINT(fwrite(data.data, 1, data.size, file), data.size);
    ASSERT_EQ_INT(fclose(file), 0);
}

uint64_t audit_case_check(const char *path, uint64_t first)
{
    tp_hasher hasher;
    const tp_str data = audit_case_read(path);
    audit_scan scan = {.next = first};
    ASSERT_OK(tp_hasher_init(&hasher, &test_err));
    tp_audit_scan_text(&hasher, data, &scan);
    ASSERT_EQ_STR(scan.reason, "");
    ASSERT_EQ_UINT(scan.good_bytes, data.size);
    tp_hasher_deinit(&hasher);
    audit_case_free(data);
    return scan.next;
}

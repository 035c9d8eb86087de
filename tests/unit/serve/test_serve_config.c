// SPDX-License-Identifier: Apache-2.0
//
// Settings from a file, addresses, and the model that a platform has mounted.
#include "base/tp_file.h"
#include "serve/tp_serve_config.h"
#include "serve_cases.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

static tapeout_status parse(tp_serve_config *config, const char *text)
{
    return tp_serve_config_parse(config, tp_str_from(text), "conf/serve.yaml", &test_err);
}

static void test_a_whole_file(void)
{
    tp_serve_config config;
    tp_serve_config_init(&config, tp_env_plain().alloc);
    ASSERT_OK(parse(&config,
                    "listen: 127.0.0.1:9000\n"
                    "threads: 3\n"
                    "models:\n"
                    "  - {name: a, path: m/a.tapeout, version: '7'}\n"
                    "  - {ref: 'flights:2'}\n"
                    "  - {path: /abs/b.tapeout}\n"
                    "limits: {body_bytes: 1000, bodies_bytes: 2000, rows: 10, connections: 5,\n"
                    "         artifact_bytes: 6000000000}\n"
                    "timeouts: {head: 2, idle: 3}\n"
                    "log: {requests: false}\n"));
    ASSERT_EQ_STR(config.listen, "127.0.0.1:9000");
    ASSERT_EQ_UINT(config.thread_count, 3);
    ASSERT_EQ_UINT(config.model_count, 3);
    ASSERT_EQ_STR(config.models[0].path, "conf/m/a.tapeout");
    ASSERT(tp_str_equal(config.models[0].name, TP_STR("a")));
    ASSERT(tp_str_equal(config.models[0].version, TP_STR("7")));
    ASSERT_EQ_STR(config.models[1].path, "flights:2");
    ASSERT_EQ_STR(config.models[2].path, "/abs/b.tapeout");
    ASSERT_EQ_UINT(config.max_body_bytes, 1000);
    ASSERT_EQ_UINT(config.max_artifact_bytes, 6000000000);
    ASSERT_EQ_UINT(config.max_bodies_bytes, 2000);
    ASSERT_EQ_UINT(config.timeouts.head_ms, 2000);
    ASSERT_EQ_UINT(config.timeouts.idle_ms, 3000);
    ASSERT_EQ_UINT(config.timeouts.body_ms, 30000);
    ASSERT(!config.logs_requests);
    tp_serve_config_deinit(&config);
}

static void check_wrong(const char *text, const char *part)
{
    tp_serve_config config;
    tp_serve_config_init(&config, tp_env_plain().alloc);
    if (parse(&config, text) == TAPEOUT_OK) {
        test_fail(__FILE__, __LINE__, "taken: %s", text);
    }
    tp_serve_config_deinit(&config);
    tp_serve_config_init(&config, tp_env_plain().alloc);
    ASSERT_FAILS(parse(&config, text), TAPEOUT_E_INVALID, part);
    ASSERT(strstr(test_err.message, "serve.yaml") != NULL);
    tp_serve_config_deinit(&config);
}

static void test_mistakes_are_named(void)
{
    check_wrong("lisen: 127.0.0.1:80\n", "listen");
    check_wrong("limits: {body_byte: 1}\n", "body_bytes");
    check_wrong("limits: {rows: 0}\n", "rows");
    check_wrong("threads: many\n", "threads");
    check_wrong("models: {path: x}\n", "list");
    check_wrong("models: [{name: x}]\n", "path or ref");
    check_wrong("models: [{path: x, ref: y}]\n", "path or ref");
    check_wrong("models: [{pth: x}]\n", "path");
    check_wrong("models: [\n", "YAML");
    check_wrong("tls: {certificate: x}\n", "cert");
    check_wrong("tls: {min_version: 1.1}\n", "1.2 or 1.3");
    check_wrong("tls: {client_cert: maybe}\n", "required or optional");
}

static void test_addresses(void)
{
    struct sockaddr_storage address;
    ASSERT_OK(tp_serve_address_parse("127.0.0.1:8080", &address, &test_err));
    ASSERT_EQ_INT(ntohs(((struct sockaddr_in *)&address)->sin_port), 8080);
    ASSERT_OK(tp_serve_address_parse("localhost:0", &address, &test_err));
    ASSERT_OK(tp_serve_address_parse("[::1]:80", &address, &test_err));
    ASSERT_EQ_INT(address.ss_family, AF_INET6);
    ASSERT_OK(tp_serve_address_parse("127.9.9.9:80", &address, &test_err));
    ASSERT(tp_serve_address_is_loopback(&address));
    static const char *const beyond[] = {"0.0.0.0:80", "10.0.0.1:80", "[::]:80", "8.8.8.8:80",
                                         "[::ffff:127.0.0.1]:80"};
    for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
        ASSERT_OK(tp_serve_address_parse(beyond[i], &address, &test_err));
        ASSERT(!tp_serve_address_is_loopback(&address));
    }
    static const char *const wrong[] = {
        "nonsense",     "127.0.0.1",      "127.0.0.1:", "127.0.0.1:65536",
        "127.0.0.1:-1", "example.org:80", ":80x",       "[::1:80"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ASSERT_FAILS(tp_serve_address_parse(wrong[i], &address, &test_err), TAPEOUT_E_INVALID,
                     NULL);
    }
}

static void test_a_mounted_model_is_found(void)
{
    const char *bundle = serve_case_bundle(SERVE_CASE_BINARY, 1);
    char folder[512];
    (void)snprintf(folder, sizeof(folder), "%s/mount/name/3", test_temp_dir());
    ASSERT_OK(tp_directory_make(folder, &test_err));
    char place[600];
    (void)snprintf(place, sizeof(place), "%s/model.tapeout", folder);
    ASSERT(rename(bundle, place) == 0);
    char root[512];
    (void)snprintf(root, sizeof(root), "%s/mount", test_temp_dir());
    const char *const directories[] = {"/does/not/exist", root};
    tp_buffer path;
    tp_buffer_init(&path, tp_env_plain().alloc, 4096);
    ASSERT_OK(tp_serve_model_search(directories, 2, &path, &test_err));
    ASSERT_EQ_BYTES(path.data, path.size, place, strlen(place));
    tp_buffer_clear(&path);
    ASSERT_FAILS(tp_serve_model_search(directories, 1, &path, &test_err), TAPEOUT_E_NOT_FOUND,
                 "no model to serve");
    // A second one: which would be meant?
    (void)snprintf(folder, sizeof(folder), "%s/mount/other.tapeout", test_temp_dir());
    ASSERT(link(place, folder) == 0);
    tp_buffer_clear(&path);
    ASSERT_FAILS(tp_serve_model_search(directories, 2, &path, &test_err), TAPEOUT_E_INVALID,
                 "2 bundles");
    tp_buffer_deinit(&path);
}

TEST_MAIN(TEST(test_a_whole_file), TEST(test_mistakes_are_named), TEST(test_addresses),
          TEST(test_a_mounted_model_is_found))

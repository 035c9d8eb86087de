// SPDX-License-Identifier: Apache-2.0
//
// Keys: signing and verifying against others' vectors, secrets sealed and opened, and the files of
// a home.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "table/tp_json.h"
#include "trust/tp_key.h"
#include "trust_cases.h"

#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// -- others' vectors -----------------------------------------------------------------------------
static size_t from_hex(tp_str hex, uint8_t *ret_bytes, size_t capacity)
{
    size_t size = 0;
    ASSERT_EQ_INT(sodium_hex2bin(ret_bytes, capacity, hex.data, hex.size, NULL, &size, NULL), 0);
    return size;
}

static tp_public_key group_key(yyjson_val *group, tp_key_algorithm algorithm)
{
    uint8_t bytes[128];
    tp_public_key key;
    yyjson_val *public = yyjson_obj_get(group, "publicKey");
    const char *name = algorithm == TP_KEY_ED25519 ? "pk" : "uncompressed";
    const size_t size = from_hex(tp_json_get_str(public, name), bytes, sizeof(bytes));
    ASSERT_OK(tp_public_key_init(algorithm, (tp_str){(char *)bytes, size}, &key, &test_err));
    return key;
}

static bool verify_test(yyjson_val *test, const tp_public_key *key)
{
    static uint8_t message[1 << 16];
    static uint8_t signature[1 << 13];
    const size_t message_size = from_hex(tp_json_get_str(test, "msg"), message, sizeof(message));
    const size_t size = from_hex(tp_json_get_str(test, "sig"), signature, sizeof(signature));
    return tp_public_key_verify(key, (tp_str){(char *)message, message_size},
                                (tp_str){(char *)signature, size});
}

static void check_vectors(const char *file, tp_key_algorithm algorithm, size_t expected)
{
    char path[512];
    tp_str text = {NULL, 0};
    yyjson_doc *doc = NULL;
    size_t count = 0;
    size_t i, n, j, m;
    yyjson_val *group, *test;
    if (test_shared_dir() == NULL) {
        test_skip("no ../shared/corpora with Wycheproof's vectors");
    }
    (void)snprintf(path, sizeof(path), "%s/corpora/wycheproof/%s", test_shared_dir(), file);
    const tapeout_allocator *alloc = tp_allocator_default();
    if (!tp_path_exists(path)) {
        test_skip("no ../shared/corpora/wycheproof");
    }
    ASSERT_OK(tp_file_read(alloc, path, 16u << 20, &text, &test_err));
    ASSERT_OK(tp_json_parse(alloc, text, file, &doc, &test_err));
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "testGroups"), i, n, group)
    {
        const tp_public_key key = group_key(group, algorithm);
        yyjson_arr_foreach(yyjson_obj_get(group, "tests"), j, m, test)
        {
            const bool is_valid = tp_str_equal(tp_json_get_str(test, "result"), TP_STR("valid"));
            if (verify_test(test, &key) != is_valid) {
                test_fail(__FILE__, __LINE__, "%s: vector %d", file,
                          (int)yyjson_get_int(yyjson_obj_get(test, "tcId")));
            }
            count++;
        }
    }
    ASSERT_EQ_UINT(count, expected);
    yyjson_doc_free(doc);
    tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
}

static void test_wycheproof_ed25519(void)
{
    check_vectors("ed25519_test.json", TP_KEY_ED25519, 151);
}

static void test_wycheproof_p256(void)
{
    check_vectors("ecdsa_secp256r1_sha256_test.json", TP_KEY_P256, 484);
}

// RFC 8032, section 7.1, test 3: what we make is what everybody makes.
static void test_signature_of_the_rfc(void)
{
    uint8_t seed[32];
    uint8_t wanted[64];
    uint8_t signature[TP_KEY_SIGNATURE_SIZE];
    size_t size = 0;
    tp_signer *signer = NULL;
    (void)from_hex(TP_STR("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"), seed,
                   sizeof(seed));
    (void)from_hex(TP_STR("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                          "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
                   wanted, sizeof(wanted));
    ASSERT_OK(tp_signer_new(tp_allocator_default(), TP_KEY_ED25519, seed, &signer, &test_err));
    ASSERT_OK(signer->sign(signer, TP_STR("\xaf\x82"), signature, &size, &test_err));
    ASSERT_EQ_BYTES(signature, size, wanted, sizeof(wanted));
    tp_signer_free(&signer);
    ASSERT(signer == NULL);
}

// -- one algorithm, one key ----------------------------------------------------------------------
static void check_sign(tp_key_algorithm algorithm)
{
    uint8_t signature[TP_KEY_SIGNATURE_SIZE];
    size_t size = 0;
    tp_signer *signer = trust_signer(algorithm, 3);
    tp_signer *other = trust_signer(algorithm, 4);
    const tp_str message = TP_STR("a message");
    ASSERT_OK(signer->sign(signer, message, signature, &size, &test_err));
    const tp_str made = {(char *)signature, size};
    ASSERT(tp_public_key_verify(&signer->key, message, made));
    ASSERT(!tp_public_key_verify(&other->key, message, made));
    ASSERT(!tp_public_key_verify(&signer->key, TP_STR("a massage"), made));
    ASSERT(!tp_public_key_verify(&signer->key, message, (tp_str){made.data, made.size - 1}));
    // A key keeps its algorithm: the same bytes under the other one are no key, or not this one.
    tp_public_key confused = signer->key;
    confused.algorithm = algorithm == TP_KEY_P256 ? TP_KEY_ED25519 : TP_KEY_P256;
    ASSERT(!tp_public_key_verify(&confused, message, made));
    tp_signer_free(&signer);
    tp_signer_free(&other);
}

static void test_sign_and_verify(void)
{
    check_sign(TP_KEY_ED25519);
    check_sign(TP_KEY_P256);
}

static void test_bad_public_keys(void)
{
    tp_public_key key;
    char point[65] = {4};
    ASSERT_FAILS(tp_public_key_init(TP_KEY_P256, (tp_str){point, 65}, &key, &test_err),
                 TAPEOUT_E_CORRUPT, "no point of the curve");
    ASSERT_FAILS(tp_public_key_init(TP_KEY_P256, (tp_str){point, 33}, &key, &test_err),
                 TAPEOUT_E_CORRUPT, "33 bytes");
    ASSERT_FAILS(tp_public_key_init(TP_KEY_ED25519, (tp_str){point, 33}, &key, &test_err),
                 TAPEOUT_E_CORRUPT, "ed25519 has 32");
    uint8_t zero[32] = {0};
    tp_signer *signer = NULL;
    ASSERT_FAILS(tp_signer_new(tp_allocator_default(), TP_KEY_P256, zero, &signer, &test_err),
                 TAPEOUT_E_CORRUPT, "not one of ecdsa-p256");
}

static void check_pem(tp_key_algorithm algorithm)
{
    tp_buffer text;
    tp_public_key again;
    tp_signer *signer = trust_signer(algorithm, 9);
    tp_buffer_init(&text, tp_allocator_default(), 4096);
    ASSERT_OK(tp_public_key_write_pem(&signer->key, &text, &test_err));
    ASSERT_OK(tp_public_key_read_pem(tp_buffer_view(&text), &again, &test_err));
    ASSERT_EQ_BYTES(&again, sizeof(again), &signer->key, sizeof(signer->key));
    text.data[40] = (char)(text.data[40] ^ 1);
    ASSERT(tp_public_key_read_pem(tp_buffer_view(&text), &again, NULL) != TAPEOUT_OK);
    tp_signer_free(&signer);
    tp_buffer_deinit(&text);
}

static void test_pem(void)
{
    check_pem(TP_KEY_ED25519);
    check_pem(TP_KEY_P256);
}

// -- files ---------------------------------------------------------------------------------------
static tp_key_info make_key(const char *home, const char *name, tp_str passphrase,
                            tp_key_algorithm algorithm)
{
    tp_key_info about = {.key = {.algorithm = algorithm}};
    tp_key_info info;
    (void)snprintf(about.name, sizeof(about.name), "%s", name);
    (void)snprintf(about.person, sizeof(about.person), "Ada \"Lovelace\"");
    ASSERT_OK(tp_key_home_make(tp_allocator_default(), home, &about, passphrase, &info, &test_err));
    return info;
}

static int mode_of(const char *path)
{
    struct stat about;
    ASSERT_EQ_INT(stat(path, &about), 0);
    return (int)(about.st_mode & 0777);
}

static void test_home(void)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    char home[512];
    char path[600];
    (void)snprintf(home, sizeof(home), "%s/new", test_temp_dir());
    const tp_key_info made = make_key(home, "ada", TP_STR("open sesame"), TP_KEY_ED25519);
    ASSERT(made.is_sealed && made.is_secret);
    (void)snprintf(path, sizeof(path), "%s/keys/ada.key", home);
    ASSERT_EQ_INT(mode_of(path), 0600);
    tp_key_info info;
    ASSERT_OK(tp_key_home_info(alloc, home, "ada", &info, &test_err));
    ASSERT_EQ_BYTES(&info, sizeof(info), &made, sizeof(made));
    tp_signer *signer = NULL;
    ASSERT_FAILS(tp_key_home_open(alloc, home, "ada", TP_STR("open sesam"), &signer, &test_err),
                 TAPEOUT_E_DENIED, "wrong passphrase");
    ASSERT_FAILS(tp_key_home_open(alloc, home, "ada", TP_STR(""), &signer, &test_err),
                 TAPEOUT_E_DENIED, "none was given");
    ASSERT(signer == NULL);
    ASSERT_OK(tp_key_home_open(alloc, home, "ada", TP_STR("open sesame"), &signer, &test_err));
    ASSERT_EQ_BYTES(&signer->key, sizeof(signer->key), &made.key, sizeof(made.key));
    tp_signer_free(&signer);
    // Never written over, whatever passphrase is known.
    tp_key_info again = made;
    ASSERT_FAILS(tp_key_home_make(alloc, home, &made, TP_STR("x"), &again, &test_err),
                 TAPEOUT_E_EXISTS, "never written over");
    ASSERT_EQ_INT(chmod(path, 0640), 0);
    ASSERT_FAILS(tp_key_home_open(alloc, home, "ada", TP_STR("open sesame"), &signer, &test_err),
                 TAPEOUT_E_DENIED, "others than its owner may read");
    ASSERT_FAILS(tp_key_home_info(alloc, home, "bob", &info, &test_err), TAPEOUT_E_NOT_FOUND,
                 "keys list");
    ASSERT_FAILS(tp_key_home_info(alloc, home, "..", &info, &test_err), TAPEOUT_E_INVALID,
                 "no name of a key");
    (void)snprintf(path, sizeof(path), "%s/keys/ada.pub", home);
    ASSERT_FAILS(tp_key_home_open(alloc, home, path, TP_STR("x"), &signer, &test_err),
                 TAPEOUT_E_INVALID, "public part");
}

static void test_open_key(void)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    const char *home = test_temp_dir();
    tp_signer *signer = NULL;
    const tp_key_info made = make_key(home, "p", TP_STR(""), TP_KEY_P256);
    ASSERT(!made.is_sealed);
    ASSERT_OK(tp_key_home_open(alloc, home, "p", TP_STR(""), &signer, &test_err));
    ASSERT_EQ_BYTES(&signer->key, sizeof(signer->key), &made.key, sizeof(made.key));
    tp_signer_free(&signer);
}

static void test_list(void)
{
    const char *home = test_temp_dir();
    tp_buffer json;
    tp_buffer_init(&json, tp_allocator_default(), 1 << 20);
    ASSERT_OK(tp_key_home_list(tp_allocator_default(), home, &json, &test_err));
    ASSERT_EQ_BYTES(json.data, json.size, "[]", 2);
    (void)make_key(home, "zoe", TP_STR(""), TP_KEY_ED25519);
    (void)make_key(home, "ada", TP_STR(""), TP_KEY_ED25519);
    tp_buffer_clear(&json);
    ASSERT_OK(tp_key_home_list(tp_allocator_default(), home, &json, &test_err));
    tp_buffer_append_char(&json, '\0');
    const char *ada = strstr(json.data, "\"ada\"");
    const char *zoe = strstr(json.data, "\"zoe\"");
    ASSERT(ada != NULL && zoe != NULL && ada < zoe);
    ASSERT(strstr(zoe + 1, "\"zoe\"") == NULL); // a pair of files is one key
    ASSERT(strstr(json.data, "seed") == NULL);
    tp_buffer_deinit(&json);
}

// The home's own key: made once, trusted by its home, and gone with its revocation.
static void test_own_key(void)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    const char *home = test_temp_dir();
    tp_signer *first = NULL;
    tp_signer *second = NULL;
    tp_trust_list list;
    tp_trusted_key revoked;
    ASSERT_OK(tp_key_home_own(alloc, home, &first, &test_err));
    ASSERT_OK(tp_key_home_own(alloc, home, &second, &test_err));
    ASSERT_EQ_BYTES(&first->key, sizeof(first->key), &second->key, sizeof(second->key));
    ASSERT_OK(tp_trust_list_open(alloc, home, &list, &test_err));
    ASSERT_EQ_UINT(list.count, 1);
    ASSERT(tp_trust_list_find(&list, &first->key.id) != NULL);
    tp_trust_list_free(&list);
    tp_signer_free(&second);
    tp_signer_free(&first);
    ASSERT_OK(tp_trust_list_revoke(alloc, home, "home", "stolen", &revoked, &test_err));
    ASSERT_FAILS(tp_key_home_own(alloc, home, &first, &test_err), TAPEOUT_E_UNTRUSTED, "revoked");
}

// -- the text of a key file ----------------------------------------------------------------------
static void test_changed_files(void)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    tp_buffer text;
    tp_signer *signer = trust_signer(TP_KEY_ED25519, 7);
    tp_key_info info = {.key = signer->key, .is_secret = true, .is_sealed = true};
    uint8_t seed[TP_KEY_SEED_SIZE];
    memset(seed, 7, sizeof(seed));
    (void)snprintf(info.name, sizeof(info.name), "k");
    tp_signer_free(&signer);
    tp_buffer_init(&text, alloc, 2 * TP_MAX_KEY_FILE_BYTES);
    ASSERT_OK(tp_key_secret_write(&info, seed, TP_STR("pass"), &text, &test_err));
    tp_buffer_append_char(&text, '\0');
    ASSERT(strstr(text.data, "BwcHBwcHBwc") == NULL); // the seed in base64
    // No byte of what is sealed, or of what it is bound to, can change. Each try costs 64 MiB of
    // Argon2id, so that some places stand for all.
    static const char *const places[] = {"\"box\":\"",    "\"nonce\":\"", "\"salt\":\"",
                                         "\"public\":\"", "\"passes\":",  "\"key_id\":\""};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char *at = strstr(text.data, places[i]) + strlen(places[i]);
        const char old = *at;
        *at = old == '3' ? '2' : '3';
        ASSERT(tp_key_open(alloc, (tp_str){text.data, text.size - 1}, TP_STR("pass"), &signer,
                           &test_err) != TAPEOUT_OK);
        ASSERT(signer == NULL);
        *at = old;
    }
    ASSERT_OK(
        tp_key_open(alloc, (tp_str){text.data, text.size - 1}, TP_STR("pass"), &signer, &test_err));
    tp_signer_free(&signer);
    tp_buffer_deinit(&text);
}

static void refuse(const char *text, tapeout_status want, const char *part)
{
    tp_key_info info;
    ASSERT_FAILS(tp_key_info_parse(tp_allocator_default(), tp_str_from(text), &info, &test_err),
                 want, part);
}

static void test_malformed_files(void)
{
    refuse("", TAPEOUT_E_CORRUPT, "not JSON");
    refuse("[]", TAPEOUT_E_CORRUPT, "not a key");
    refuse("{\"format\":\"tapeout-public-key\",\"format\":1}", TAPEOUT_E_CORRUPT, "stands twice");
    refuse("{\"format\":\"tapeout-secret-key\",\"secret\":3,\"a\":1,\"b\":2,\"c\":3,\"d\":4,"
           "\"e\":5,\"f\":6,\"g\":7}",
           TAPEOUT_E_CORRUPT, "not a key");
    refuse("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", TAPEOUT_E_CORRUPT,
           "PEM");
}

TEST_MAIN(TEST(test_wycheproof_ed25519), TEST(test_wycheproof_p256),
          TEST(test_signature_of_the_rfc), TEST(test_sign_and_verify), TEST(test_bad_public_keys),
          TEST(test_pem), TEST(test_home), TEST(test_open_key), TEST(test_list), TEST(test_own_key),
          TEST(test_changed_files), TEST(test_malformed_files))

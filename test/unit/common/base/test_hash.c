/* test_hash.c - known answers, and both forms of CRC-32C against each other; ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/hash.h"
#include "common/base/id.h"

/* Frozen: key groups and state files depend on these. */
static void xxh3_known_answers(void **state)
{
    (void)state;
    assert_true(hash_xxh3("", 0) == 0x2d06800538d394c2u);
    assert_true(hash_xxh3(NULL, 0) == 0x2d06800538d394c2u);
    assert_true(hash_xxh3("a", 1) == 0xe6c632b61e964e1fu);
    assert_true(hash_xxh3("abc", 3) == 0x78af5f94892f3950u);
}

static void xxh3_of_numbers_is_xxh3_of_their_key_bytes(void **state)
{
    int64_t wide[77];
    int32_t narrow[77];
    uint64_t hash[77], seed = 3;

    (void)state;
    for (uint32_t count = 0; count <= 77; count++) {
        for (uint32_t i = 0; i < count; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            wide[i] = i % 7 == 0 ? INT64_MIN + (int64_t)i : (int64_t)(seed ^ seed >> 29);
            narrow[i] = (int32_t)wide[i];
        }
        hash_xxh3_signed64(wide, count, hash);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t bytes = __builtin_bswap64((uint64_t)wide[i] ^ UINT64_C(1) << 63);

            assert_int_equal(hash[i], hash_xxh3(&bytes, 8));
        }
        hash_xxh3_signed32(narrow, count, hash);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t bytes = __builtin_bswap32((uint32_t)narrow[i] ^ UINT32_C(1) << 31);

            assert_int_equal(hash[i], hash_xxh3(&bytes, 4));
        }
    }
}

static void xxh3_of_heads_is_xxh3(void **state)
{
    uint64_t head[18][2], hash[18], seed = 1;
    uint32_t len[18];

    (void)state;
    for (int round = 0; round < 1000; round++) {
        for (uint32_t i = 0; i < 18; i++) {
            len[i] = i;
            hash[i] = 1;
            for (int k = 0; k < 2; k++)
                head[i][k] = seed = seed * 6364136223846793005u + 1442695040888963407u;
        }
        hash_xxh3_heads(head, len, 18, hash);
        for (uint32_t i = 0; i <= 16; i++)
            assert_true(hash[i] == hash_xxh3(head[i], i));
    }
}

static void crc32c_known_answers(void **state)
{
    uint8_t zeros[32] = {0}, ones[32];

    (void)state;
    memset(ones, 0xff, sizeof(ones));
    assert_true(hash_crc32c(0, "123456789", 9) == 0xe3069283);
    assert_true(hash_crc32c(0, zeros, 32) == 0x8a9136aa); /* RFC 3720, B.4 */
    assert_true(hash_crc32c(0, ones, 32) == 0x62a8ab43);
    assert_true(hash_crc32c_portable(0, "123456789", 9) == 0xe3069283);
    assert_true(hash_crc32c(0, "", 0) == 0);
}

static void crc32c_forms_agree(void **state)
{
    static uint8_t data[6000];

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * i + (i >> 8));
    for (size_t len = 0; len < sizeof(data); len += 1 + len / 7) {
        const uint8_t *p = data + len % 9;
        size_t n = len > 9 ? len - 9 : len;
        uint32_t whole = hash_crc32c(0, p, n);

        assert_int_equal(whole, hash_crc32c_portable(0, p, n));
        assert_int_equal(whole, hash_crc32c(hash_crc32c(0, p, n / 3), p + n / 3, n - n / 3));
        assert_int_equal(whole, hash_crc32c_join(hash_crc32c(0, p, n / 3), hash_crc32c(0, p + n / 3, n - n / 3), n - n / 3));
    }
}

static void sha256_known_answers(void **state)
{
    uint8_t digest[32];
    char text[65];

    (void)state;
    hash_sha256("abc", 3, digest);
    hash_hex(digest, sizeof(digest), text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash_sha256(NULL, 0, digest);
    hash_hex(digest, sizeof(digest), text);
    assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void ids_and_their_text(void **state)
{
    struct id id = id_from_u64(0x0123456789abcdef, 0xfedcba9876543210), parsed;
    char text[ID_TEXT_MAX];

    (void)state;
    assert_string_equal(id_format(&id, text), "0123456789abcdeffedcba9876543210");
    assert_true(id_parse("0123456789ABCDEFfedcba9876543210", &parsed));
    assert_true(id_equal(&id, &parsed));
    assert_false(id_parse("0123456789ABCDEFfedcba987654321", &parsed));
    assert_false(id_parse("0123456789ABCDEFfedcba98765432100", &parsed));
    assert_false(id_parse("0123456789ABCDEFfedcba987654321g", &parsed));
    assert_false(id_parse("", &parsed));
    assert_false(id_parse(NULL, &parsed));
    assert_true(id_equal(&id, &parsed));
    assert_false(id_is_zero(&id));
    id = id_from_u64(0, 0);
    assert_true(id_is_zero(&id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xxh3_known_answers), cmocka_unit_test(xxh3_of_heads_is_xxh3), cmocka_unit_test(xxh3_of_numbers_is_xxh3_of_their_key_bytes), cmocka_unit_test(crc32c_known_answers),
        cmocka_unit_test(crc32c_forms_agree), cmocka_unit_test(sha256_known_answers),
        cmocka_unit_test(ids_and_their_text),
    };

    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}

/*
 * contract_fs.c - files, folders and their errors: what every fs promises.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "test/contract/contract.h"

struct call {
    struct world *w;
    struct fs *fs;
    bool done, inside;
    int code;
    struct err err;
    struct fs_file *file;
    char *text; /* what was read, or the names joined by spaces; owned */
    size_t len;
    uint64_t size;
    char path[300];
};

static void on_result(void *arg, const struct fs_result *r)
{
    struct call *c = arg;

    assert_false(c->inside);
    assert_false(c->done);
    c->done = true;
    c->code = r->code;
    c->err = r->err;
    c->file = r->file;
    c->size = r->size;
    if (r->data != NULL) {
        c->text = mem_alloc(r->len + 1);
        memcpy(c->text, r->data, r->len);
        c->len = r->len;
    }
    for (size_t i = 0; i < r->name_count; i++) {
        char *longer =
            mem_printf("%s%s%s", c->text == NULL ? "" : c->text, i > 0 ? " " : "", r->names[i]);

        mem_free(c->text);
        c->text = longer;
    }
}

static const char *path(struct call *c, const char *name)
{
    snprintf(c->path, sizeof(c->path), "%s/%s", c->w->folder, name);
    return c->path;
}

static void call_begin(struct call *c)
{
    mem_free(c->text);
    c->text = NULL;
    c->len = 0;
    c->done = false;
    c->inside = true;
}

static int call_end(struct call *c)
{
    c->inside = false;
    assert_true(world_until_true(c->w, &c->done));
    if (c->code != 0)
        assert_int_equal(c->err.code, c->code);
    return c->code;
}

#define CALL(c, op, ...) \
    (call_begin(c), (c)->fs->ops->op((c)->fs, __VA_ARGS__, on_result, c), call_end(c))

static struct call call_on(void **state)
{
    struct world *w = *state;

    return (struct call){.w = w, .fs = w->server->fs};
}

static struct fs_file *open_file(struct call *c, const char *name, enum fs_open_mode mode)
{
    assert_int_equal(CALL(c, open, path(c, name), mode), 0);
    assert_non_null(c->file);
    return c->file;
}

static void whole_files(void **state)
{
    struct call c = call_on(state);

    assert_int_equal(CALL(&c, read_all, path(&c, "a"), 100), ERR_NOT_FOUND);
    assert_non_null(strstr(c.err.text, c.path));
    assert_int_equal(CALL(&c, write_all, path(&c, "a"), "hello", 5), 0);
    assert_int_equal(CALL(&c, read_all, path(&c, "a"), 100), 0);
    assert_string_equal(c.text, "hello");
    assert_int_equal(CALL(&c, write_all, path(&c, "a"), "", 0), 0);
    assert_int_equal(CALL(&c, read_all, path(&c, "a"), 100), 0);
    assert_int_equal(c.len, 0);
    assert_int_equal(CALL(&c, write_all, path(&c, "a"), "123456", 6), 0);
    assert_int_equal(CALL(&c, read_all, path(&c, "a"), 5), ERR_LIMIT);
    assert_int_equal(CALL(&c, write_all, path(&c, "missing/a"), "x", 1), ERR_NOT_FOUND);
    mem_free(c.text);
}

static void appending(void **state)
{
    struct call c = call_on(state);
    struct fs_file *f = open_file(&c, "log", FS_CREATE);

    assert_int_equal(CALL(&c, append, f, "abc", 3), 0);
    assert_int_equal(CALL(&c, append, f, "def", 3), 0);
    assert_int_equal(CALL(&c, sync, f), 0);
    assert_int_equal(CALL(&c, pread, f, 2, 3), 0);
    assert_string_equal(c.text, "cde");
    assert_int_equal(CALL(&c, pread, f, 4, 100), 0);
    assert_string_equal(c.text, "ef");
    assert_int_equal(CALL(&c, pread, f, 6, 100), 0);
    assert_int_equal(c.len, 0);
    c.fs->ops->close(c.fs, f);
    f = open_file(&c, "log", FS_APPEND);
    assert_int_equal(CALL(&c, append, f, "g", 1), 0);
    c.fs->ops->close(c.fs, f);
    assert_int_equal(CALL(&c, stat, path(&c, "log")), 0);
    assert_int_equal(c.size, 7);
    f = open_file(&c, "log", FS_CREATE); /* truncates */
    assert_int_equal(CALL(&c, stat, path(&c, "log")), 0);
    assert_int_equal(c.size, 0);
    assert_int_equal(CALL(&c, append, f, "old", 3), 0);
    c.fs->ops->close(c.fs, f);
    f = open_file(&c, "log", FS_CREATE_UNCACHED); /* likewise */
    assert_int_equal(CALL(&c, append, f, "new", 3), 0);
    assert_int_equal(CALL(&c, append, f, "er", 2), 0);
    assert_int_equal(CALL(&c, sync, f), 0);
    assert_int_equal(CALL(&c, pread, f, 0, 100), 0);
    assert_string_equal(c.text, "newer");
    c.fs->ops->close(c.fs, f);
    f = open_file(&c, "log", FS_CREATE);
    c.fs->ops->close(c.fs, f);
    f = open_file(&c, "log", FS_READ);
    assert_int_equal(CALL(&c, pread, f, 0, 10), 0);
    c.fs->ops->close(c.fs, f);
    assert_int_equal(CALL(&c, open, path(&c, "none"), FS_READ), ERR_NOT_FOUND);
    mem_free(c.text);
}

static void on_taken(void *arg, const struct fs_result *r)
{
    struct call *c = arg;

    mem_free(c->text);
    c->text = (char *)fs_take(r);
    c->len = r->len;
    c->code = r->code;
    c->done = true;
}

/* Blocks, with memory that comes back, and then what is none. */
static void appending_what_is_taken(void **state)
{
    struct call c = call_on(state);
    struct fs_file *f = open_file(&c, "log", FS_CREATE_UNCACHED);
    size_t size = 3 * FS_BLOCK_BYTES;
    uint8_t *data = mem_alloc_huge(MEM_HUGE_BYTES);

    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i / 7);
    call_begin(&c);
    c.fs->ops->append_taken(c.fs, f, data, size, on_taken, &c);
    assert_true(world_until_true(c.w, &c.done));
    assert_int_equal(c.code, 0);
    assert_ptr_equal(c.text, data);
    c.text = NULL;
    call_begin(&c);
    c.fs->ops->append_taken(c.fs, f, data, size, on_taken, &c);
    assert_true(world_until_true(c.w, &c.done));
    assert_int_equal(CALL(&c, append, f, "end", 3), 0);
    c.fs->ops->append_taken(c.fs, f, mem_dup("ed", 2), 2, NULL, NULL);
    assert_int_equal(CALL(&c, sync, f), 0);
    assert_int_equal(CALL(&c, pread, f, 0, 3 * size), 0);
    assert_int_equal(c.len, 2 * size + 5);
    for (size_t i = 0; i < size; i++)
        assert_true((uint8_t)c.text[i] == (uint8_t)(i / 7) && c.text[size + i] == c.text[i]);
    assert_memory_equal(c.text + 2 * size, "ended", 5);
    c.fs->ops->close(c.fs, f);
    world_settle(c.w);
    mem_free(c.text);
}

static void what_was_read_may_be_taken(void **state)
{
    struct call c = call_on(state);
    struct fs_file *f = open_file(&c, "log", FS_CREATE);

    assert_int_equal(CALL(&c, append, f, "abc", 3), 0);
    call_begin(&c);
    c.fs->ops->pread(c.fs, f, 1, 5, on_taken, &c);
    assert_true(world_until_true(c.w, &c.done));
    world_settle(c.w);
    assert_int_equal(c.len, 2);
    assert_memory_equal(c.text, "bc", 2);
    mem_free(c.text);
    c.fs->ops->close(c.fs, f);
}

static void calls_on_a_file_keep_their_order(void **state)
{
    struct call c = call_on(state), last = c;
    struct fs_file *f = open_file(&c, "log", FS_CREATE);
    char expected[101] = "";

    for (int i = 0; i < 50; i++) {
        char two[3];

        snprintf(two, sizeof(two), "%02d", i);
        memcpy(expected + 2 * (size_t)i, two, sizeof(two));
        c.fs->ops->append(c.fs, f, two, 2, on_result, &last);
        c.fs->ops->forget(c.fs, &last);
    }
    assert_int_equal(CALL(&c, pread, f, 0, 200), 0);
    assert_string_equal(c.text, expected);
    assert_false(last.done); /* forgotten, yet executed */
    c.fs->ops->close(c.fs, f);
    world_settle(c.w);
    mem_free(c.text);
}

static void names(void **state)
{
    struct call c = call_on(state);
    char other[300];

    assert_int_equal(CALL(&c, mkdirs, path(&c, "d/e/f")), 0);
    assert_int_equal(CALL(&c, mkdirs, path(&c, "d/e/f")), 0);
    assert_int_equal(CALL(&c, write_all, path(&c, "d/y"), "1", 1), 0);
    assert_int_equal(CALL(&c, write_all, path(&c, "d/x"), "2", 1), 0);
    assert_int_equal(CALL(&c, list, path(&c, "d")), 0);
    assert_string_equal(c.text, "e x y");
    assert_int_equal(CALL(&c, list, path(&c, "none")), ERR_NOT_FOUND);
    snprintf(other, sizeof(other), "%s", path(&c, "d/z"));
    assert_int_equal(CALL(&c, rename, path(&c, "d/x"), other), 0);
    assert_int_equal(CALL(&c, rename, path(&c, "d/y"), other), 0); /* replaces */
    assert_int_equal(CALL(&c, rename, path(&c, "d/gone"), other), ERR_NOT_FOUND);
    assert_int_equal(CALL(&c, sync_dir, path(&c, "d")), 0);
    assert_int_equal(CALL(&c, list, path(&c, "d")), 0);
    assert_string_equal(c.text, "e z");
    assert_int_equal(CALL(&c, read_all, other, 10), 0);
    assert_string_equal(c.text, "1");
    snprintf(other, sizeof(other), "%s", path(&c, "moved"));
    assert_int_equal(CALL(&c, rename, path(&c, "d"), other), 0); /* a folder with what is in it */
    assert_int_equal(CALL(&c, read_all, path(&c, "moved/z"), 10), 0);
    assert_int_equal(CALL(&c, unlink, path(&c, "moved")), ERR_EXISTS);
    assert_int_equal(CALL(&c, unlink, path(&c, "moved/z")), 0);
    assert_int_equal(CALL(&c, unlink, path(&c, "moved/z")), ERR_NOT_FOUND);
    assert_int_equal(CALL(&c, unlink, path(&c, "moved/e/f")), 0);
    assert_int_equal(CALL(&c, stat, path(&c, "moved/e/f")), ERR_NOT_FOUND);
    mem_free(c.text);
}

static void a_file_has_several_names(void **state)
{
    struct call c = call_on(state);
    struct fs_file *f = open_file(&c, "one", FS_CREATE);
    char other[300];

    snprintf(other, sizeof(other), "%s", path(&c, "two"));
    assert_int_equal(CALL(&c, write_all, other, "before", 6), 0);
    assert_int_equal(CALL(&c, link, path(&c, "one"), other), 0); /* replaces */
    assert_int_equal(CALL(&c, append, f, "abc", 3), 0);          /* what comes later is in both */
    c.fs->ops->close(c.fs, f);
    assert_int_equal(CALL(&c, read_all, other, 10), 0);
    assert_string_equal(c.text, "abc");
    assert_int_equal(CALL(&c, unlink, path(&c, "one")), 0);
    assert_int_equal(CALL(&c, read_all, other, 10), 0);
    assert_string_equal(c.text, "abc");
    assert_int_equal(CALL(&c, link, path(&c, "none"), other), ERR_NOT_FOUND);
    assert_int_equal(CALL(&c, stat, other), ERR_NOT_FOUND); /* nobody takes what was there for the file */
    snprintf(other, sizeof(other), "%s", path(&c, "missing/two"));
    assert_int_equal(CALL(&c, write_all, path(&c, "one"), "1", 1), 0);
    assert_true(CALL(&c, link, path(&c, "one"), other) < 0);
    mem_free(c.text);
}

static void folders_are_not_files(void **state)
{
    struct call c = call_on(state);

    assert_int_equal(CALL(&c, mkdirs, path(&c, "d")), 0);
    assert_int_equal(CALL(&c, write_all, path(&c, "f"), "1", 1), 0);
    assert_true(CALL(&c, write_all, path(&c, "d"), "1", 1) < 0);
    assert_true(CALL(&c, open, path(&c, "d"), FS_CREATE) < 0);
    assert_int_equal(CALL(&c, mkdirs, path(&c, "f/g")), ERR_NOT_FOUND);
    assert_int_equal(CALL(&c, unlink, path(&c, "f/g")), ERR_NOT_FOUND);
    assert_int_equal(CALL(&c, list, path(&c, "f/g")), ERR_NOT_FOUND);
    assert_int_equal(CALL(&c, stat, path(&c, "f/g/h")), ERR_NOT_FOUND);
    assert_int_equal(CALL(&c, read_all, path(&c, "f/g"), 10), ERR_NOT_FOUND);
    assert_int_equal(CALL(&c, list, path(&c, "f")), ERR_NOT_FOUND);
    assert_int_equal(CALL(&c, stat, path(&c, "d")), 0);
    mem_free(c.text);
}

const struct contract contract_fs[] = {
    {"whole_files", whole_files},
    {"appending", appending},
    {"appending_what_is_taken", appending_what_is_taken},
    {"what_was_read_may_be_taken", what_was_read_may_be_taken},
    {"calls_on_a_file_keep_their_order", calls_on_a_file_keep_their_order},
    {"names", names},
    {"a_file_has_several_names", a_file_has_several_names},
    {"folders_are_not_files", folders_are_not_files},
    {NULL, NULL},
};

/* stores.h - LevelDB stores in a folder of the test's own. Included by one file of a test binary. */
#ifndef UNIT_STORES_H
#define UNIT_STORES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "common/base/check.h"
#include "taskmanager/worker/store/store.h"

enum { MEMORY = 4 << 20 };

static char dir[] = "/tmp/rask-test-stores.XXXXXX";
static struct wk_stores *stores;
static struct err err;

static int set_up(void **arg)
{
    (void)arg;
    assert_non_null(mkdtemp(dir));
    stores = wk_stores_leveldb_new(dir);
    return 0;
}

static int tear_down(void **arg)
{
    (void)arg;
    wk_stores_leveldb_free(stores);
    assert_int_equal(rmdir(dir), 0); /* each store has removed its own */
    return 0;
}

static struct wk_store *opened(struct wk_stores *of, const char *label)
{
    struct wk_store *s = of->ops->make(of, label);

    assert_int_equal(of->ops->open(s, MEMORY, &err), 0);
    return s;
}

#endif

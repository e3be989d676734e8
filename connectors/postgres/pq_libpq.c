/* pq_libpq.c - see pq.h. */
#include "connectors/postgres/pq.h"

#include <dlfcn.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

#define FUNCTIONS(X)                                                                                                    \
    X(PQconnectdbParams) X(PQfinish) X(PQstatus) X(PQerrorMessage) X(PQexec) X(PQresultStatus) X(PQresultErrorField)   \
    X(PQclear) X(PQntuples) X(PQgetvalue) X(PQgetisnull) X(PQputCopyData) X(PQputCopyEnd) X(PQgetResult)               \
    X(PQsetNoticeProcessor)

#define DECLARE(f) __typeof__(&f) f;
static struct {
    FUNCTIONS(DECLARE)
    const char *missing; /* NULL: nothing */
} lib;
static pthread_once_t lib_once = PTHREAD_ONCE_INIT;

static void load(void)
{
    void *handle = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    void *symbol;

    if (!handle) {
        lib.missing = "libpq.so.5";
        return;
    }
#define LOAD(f)                                                                                                         \
    symbol = dlsym(handle, #f);                                                                                         \
    if (!symbol)                                                                                                        \
        lib.missing = #f " of libpq.so.5";                                                                            \
    memcpy(&lib.f, &symbol, sizeof(symbol));
    FUNCTIONS(LOAD)
}

struct pq {
    PGconn *conn;
    char state[6];
};

/* The server's words on one line, without the prefix and the end of line. */
static int say(struct pq *pq, struct err *err, const char *doing, const PGresult *result)
{
    const char *state = result ? lib.PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *text = result ? lib.PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *detail = result ? lib.PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL) : NULL;
    size_t len;

    snprintf(pq->state, sizeof(pq->state), "%s", state ? state : "");
    if (!text)
        text = lib.PQerrorMessage(pq->conn);
    len = strcspn(text, "\n");
    return err_set(err, pq->state[0] ? ERR_IO : ERR_UNAVAILABLE, "%s: PostgreSQL says: %.*s%s%.200s%s%s%s", doing, (int)len, text,
                   detail ? ": " : "", detail ? detail : "", pq->state[0] ? " (" : "", pq->state, pq->state[0] ? ")" : "");
}

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

struct pq *pq_open(const char *conninfo, struct err *err)
{
    /* conninfo comes last and wins; a peer that is gone is noticed within a minute. */
    static const char *const keys[] = {"connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count",
                                       "tcp_user_timeout", "application_name", "client_encoding", "dbname", NULL};
    const char *const values[] = {"10", "20", "10", "3", "60000", "rask", "UTF8", conninfo, NULL};
    struct pq *pq;

    pthread_once(&lib_once, load);
    if (lib.missing) {
        err_set(err, ERR_NOT_FOUND, "this host has no %s: install PostgreSQL's client library (Debian: libpq5)", lib.missing);
        return NULL;
    }
    pq = MEM_NEW(struct pq);
    pq->conn = lib.PQconnectdbParams(keys, values, 1);
    if (lib.PQstatus(pq->conn) != CONNECTION_OK) {
        say(pq, err, "no connection", NULL);
        pq_close(pq);
        return NULL;
    }
    lib.PQsetNoticeProcessor(pq->conn, ignore_notice, NULL);
    return pq;
}

void pq_close(struct pq *pq)
{
    if (pq) {
        lib.PQfinish(pq->conn);
        mem_free(pq);
    }
}

const char *pq_state(const struct pq *pq)
{
    return pq->state;
}

/* What is wrong with a result that is taken here. */
static int take(struct pq *pq, PGresult *result, ExecStatusType wanted, ExecStatusType also, const char *doing, struct err *err)
{
    ExecStatusType status = lib.PQresultStatus(result);
    int rc = status == wanted || status == also ? 0 : say(pq, err, doing, result);

    lib.PQclear(result);
    return rc;
}

int pq_exec(struct pq *pq, const char *sql, struct err *err)
{
    return take(pq, lib.PQexec(pq->conn, sql), PGRES_COMMAND_OK, PGRES_TUPLES_OK, sql, err);
}

int pq_query(struct pq *pq, const char *sql, struct bytes *out, struct err *err)
{
    PGresult *result = lib.PQexec(pq->conn, sql);

    for (int i = 0; lib.PQresultStatus(result) == PGRES_TUPLES_OK && i < lib.PQntuples(result); i++)
        if (!lib.PQgetisnull(result, i, 0)) {
            bytes_add_str(out, lib.PQgetvalue(result, i, 0));
            bytes_add_u8(out, 0);
        }
    return take(pq, result, PGRES_TUPLES_OK, PGRES_TUPLES_OK, sql, err);
}

int pq_copy(struct pq *pq, const char *sql, const struct bytes *text, struct err *err)
{
    PGresult *result;
    int rc = take(pq, lib.PQexec(pq->conn, sql), PGRES_COPY_IN, PGRES_COPY_IN, sql, err);

    if (rc != 0)
        return rc;
    for (size_t at = 0; at < text->len && rc == 0; at += 1u << 20) {
        size_t left = text->len - at;

        if (lib.PQputCopyData(pq->conn, (const char *)text->data + at, (int)(left < (1u << 20) ? left : 1u << 20)) != 1)
            rc = say(pq, err, sql, NULL);
    }
    if (rc == 0 && lib.PQputCopyEnd(pq->conn, NULL) != 1)
        rc = say(pq, err, sql, NULL);
    while ((result = lib.PQgetResult(pq->conn)) != NULL) {
        struct err other = {0};
        int one = take(pq, result, PGRES_COMMAND_OK, PGRES_COMMAND_OK, sql, rc == 0 ? err : &other);

        rc = rc != 0 ? rc : one;
    }
    return rc;
}

void pq_add_name(struct bytes *out, const char *name)
{
    bytes_add_u8(out, '"');
    for (; *name; name++) {
        if (*name == '"')
            bytes_add_u8(out, '"');
        bytes_add_u8(out, (uint8_t)*name);
    }
    bytes_add_u8(out, '"');
}

void pq_add_literal(struct bytes *out, const char *text)
{
    bytes_add_str(out, "E'"); /* whatever standard_conforming_strings says */
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            bytes_add_u8(out, (uint8_t)*text);
        bytes_add_u8(out, (uint8_t)*text);
    }
    bytes_add_u8(out, '\'');
}

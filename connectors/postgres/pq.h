/*
 * pq.h - a connection to PostgreSQL: SQL in, sentences out.
 *
 * libpq is loaded when the first connection is made, so only jobs that write to PostgreSQL need it on their hosts.
 * Calls block, for at most the connection's time limits.  One thread at a time.
 */
#ifndef CONNECTORS_POSTGRES_PQ_H
#define CONNECTORS_POSTGRES_PQ_H

#include "common/base/bytes.h"
#include "common/base/err.h"

struct pq;

/* conninfo: libpq's, "host=db dbname=shop user=rask" or postgresql://...; messages never quote it: it may hold a password. */
struct pq *pq_open(const char *conninfo, struct err *err);
void pq_close(struct pq *pq); /* an open transaction is rolled back; NULL is legal */
/* 0, or an error code with the server's words; pq_state says which error. */
int pq_exec(struct pq *pq, const char *sql, struct err *err) MUST_CHECK;
/* First columns of all rows, one after the other, each with a NUL; a null is skipped. */
int pq_query(struct pq *pq, const char *sql, struct bytes *out, struct err *err) MUST_CHECK;
/* sql: COPY ... FROM STDIN; text: rows in COPY's text format. */
int pq_copy(struct pq *pq, const char *sql, const struct bytes *text, struct err *err) MUST_CHECK;
/* SQLSTATE of the last error, "" if it did not come from the server. */
const char *pq_state(const struct pq *pq);
void pq_add_name(struct bytes *out, const char *name);    /* "a column" */
void pq_add_literal(struct bytes *out, const char *text); /* 'it''s' */

#endif

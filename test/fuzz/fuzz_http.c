/* fuzz_http.c - what REST takes from strangers: the head of a request, escapes, a form, a job submission. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/graph/submission.h"
#include "jobmanager/rest/http_parse.h"
#include "jobmanager/rest/rest_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_head(const uint8_t *data, size_t size)
{
    struct http_head head = {0};
    const char *why = NULL;
    size_t end = 0;
    int status = rest_http_head_parse(&head, data, size, &end, &why);

    CHECK(end <= size);
    if (status == 0 && end > 0) {
        char *out = mem_alloc(strlen(head.target) + 1);

        CHECK(head.method[0] && head.target[0] == '/');
        if (rest_http_decode(head.target, strlen(head.target), true, out))
            CHECK(strlen(out) <= strlen(head.target));
        mem_free(out);
    }
    rest_http_head_release(&head);
}

static void fuzz_form(const uint8_t *data, size_t size)
{
    struct rest_upload files[2];
    struct arena arena;
    size_t count;

    arena_init(&arena);
    if (rest_multipart(&arena, "multipart/form-data; boundary=b", data, size, files, 2, &count, NULL) == 0)
        for (size_t i = 0; i < MIN(count, 2); i++)
            CHECK(files[i].data >= data && files[i].data + files[i].len <= data + size);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct submission s;

    if (size == 0)
        return 0;
    fuzz_head(data, size);
    fuzz_form(data, size);
    if (submission_parse(data, size, &s, NULL) == 0)
        CHECK(s.graph_len + s.artifact_len + SUBMISSION_HEADER == size);
    return 0;
}

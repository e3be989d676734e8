/* list.h - an intrusive, circular, doubly linked list. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/check.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *head)
{
    head->next = head->prev = head;
}
static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}
static inline void list_insert_(struct list *at, struct list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}
static inline void list_push_back(struct list *head, struct list *node)
{
    list_insert_(head, node);
}
static inline void list_push_front(struct list *head, struct list *node)
{
    list_insert_(head->next, node);
}
/* The node is re-initialised: removing twice is harmless. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
static inline struct list *list_pop_front(struct list *head)
{
    struct list *n = head->next;

    if (n == head)
        return NULL;
    list_remove(n);
    return n;
}
#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)
#define LIST_FOREACH(pos, head) for (struct list *pos = (head)->next; pos != (head); pos = pos->next)
/* pos may be removed in the body */
#define LIST_FOREACH_SAFE(pos, head)                                                               \
    for (struct list *pos = (head)->next, *pos##_next = pos->next; pos != (head);                  \
         pos = pos##_next, pos##_next = pos->next)

#endif

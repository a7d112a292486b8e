#ifndef PREFORK_NATIVE_ABI_H_
#define PREFORK_NATIVE_ABI_H_

/* The C ABI between a prefork worker and a native module: a shared library that exports one
 * symbol, `prefork_module_v1`. C++ authors include <prefork/native.h> instead and never see this;
 * authors of other languages can implement it directly.
 *
 *   zygote start:  dlopen(module, RTLD_NOW | RTLD_LOCAL), prefork_module_v1() -> table of functions
 *   worker, task:  function->run(function, task); inside it the function may use task->callbacks
 *
 * Growth: fields are only ever appended. Each struct that one side hands to the other begins with
 * its size in the giver's eyes; a reader uses a field past version 1's only when that size covers
 * it. A change that can't be made so gets a new symbol, `prefork_module_v2`.
 *
 * Text and bytes are pointer and size, not terminated, and belong to the giver. What a task points
 * to is valid until `run` returns. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct prefork_bytes {
  const char* data; /* may be NULL when size is 0 */
  size_t size;
} prefork_bytes;

/* What `run` returns. */
enum prefork_outcome {
  PREFORK_SUCCEEDED = 0, /* the value is what set_value or allocate_value was given, or empty */
  PREFORK_FAILED = 1,    /* set_error said why */
  PREFORK_CANCELLED = 2  /* it saw `cancelled` and stopped */
};

struct prefork_task_v1;

/* The worker's services for the running task. Only `cancelled` may be called from other threads
 * than the one that executes `run`. Those that return text return NULL for success, else why not;
 * the text is valid until the next call. */
typedef struct prefork_callbacks_v1 {
  size_t struct_bytes;
  /* Not 0 once the task is asked to stop. One load: call it as often as you like. */
  int (*cancelled)(const struct prefork_task_v1* task);
  /* Reports that `done` of `total` (0: unknown) is done. Waits while the daemon is behind. */
  void (*progress)(struct prefork_task_v1* task, double done, double total, prefork_bytes text);
  /* Sends one partial result; it reaches the client before the task ends. Waits likewise. */
  const char* (*emit)(struct prefork_task_v1* task, prefork_bytes value,
                      prefork_bytes content_type);
  /* Copies the value. The last call counts. */
  void (*set_value)(struct prefork_task_v1* task, prefork_bytes value, prefork_bytes content_type);
  /* Makes room for a value of exactly `size` bytes, which the function fills in place: a large one
   * then reaches the client's shared memory without a copy. Contents are undefined at first.
   * Replaces set_value; may be called once. */
  const char* (*allocate_value)(struct prefork_task_v1* task, size_t size,
                                prefork_bytes content_type, char** data);
  /* Copies the text of the task's error. */
  void (*set_error)(struct prefork_task_v1* task, prefork_bytes text);
} prefork_callbacks_v1;

typedef struct prefork_task_v1 {
  size_t struct_bytes;
  const prefork_callbacks_v1* callbacks;
  void* worker; /* the worker's own */
  uint64_t id;
  uint32_t attempt;      /* 1 for the first */
  uint32_t worker_index; /* slot of the worker in its pool */
  prefork_bytes function;
  prefork_bytes payload;
  prefork_bytes content_type;
} prefork_task_v1;

typedef struct prefork_function_v1 {
  size_t struct_bytes;
  const char* name;        /* NUL-terminated, 1 to 255 bytes of printable ASCII without spaces */
  const char* description; /* NUL-terminated, one line for people; may be "" */
  /* Runs one task. Must not let an exception escape. */
  enum prefork_outcome (*run)(const struct prefork_function_v1* function,
                              struct prefork_task_v1* task);
  void* context; /* the module's own */
} prefork_function_v1;

typedef struct prefork_module_table_v1 {
  size_t struct_bytes;
  size_t function_count;
  const prefork_function_v1* const* functions; /* of static lifetime */
} prefork_module_table_v1;

/* Exported by every module; called once, in the zygote, right after the module was loaded. */
typedef const prefork_module_table_v1* (*prefork_module_v1_function)(void);
#define PREFORK_MODULE_SYMBOL "prefork_module_v1"

#ifdef __cplusplus
}
#endif

#endif /* PREFORK_NATIVE_ABI_H_ */

#ifndef PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_CONVERT_H_
#define PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_CONVERT_H_

#include <nanobind/nanobind.h>

#include "client/python/native/client_inbox.h"
#include "prefork/task.h"

// Between the client library's structs and Python objects. Everything here needs the GIL.
namespace prefork::python {

// From a dict with the names of the struct's fields, durations in seconds; `retry` is a dict too.
// Raises TypeError for an unknown name and for a value of the wrong type.
client::TaskSpec ToTaskSpec(const nanobind::dict& fields);

// A tuple (key, kind, ...), whose kinds `_client.pyi` documents.
nanobind::tuple ToPython(Inbox::Item&& item);

}  // namespace prefork::python

#endif  // PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_CONVERT_H_

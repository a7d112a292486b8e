#ifndef PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_VALUE_H_
#define PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_VALUE_H_

#include <nanobind/nanobind.h>

#include <memory>
#include <string>

#include "prefork/segment.h"

namespace prefork::python {

// The bytes of `mapped`, or if that is null `bytes`. As `bytes` if they are few; else as an object that
// lends them where they are, read-only, by the buffer protocol: what is made of it, as an array,
// keeps it, and the segment is given back with the last of them. Needs the GIL.
nanobind::object MakeValue(std::string&& bytes,
                           std::shared_ptr<const client::MappedValue> mapped = nullptr);

void DefineValue(nanobind::module_& module);

}  // namespace prefork::python

#endif  // PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_VALUE_H_

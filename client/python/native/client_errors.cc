#include "client/python/native/client_errors.h"

#include <nanobind/nanobind.h>

#include <string>

namespace prefork::python {

namespace nb = nanobind;

void Raise(const absl::Status& status) {
  const std::string message(status.message());
  const nb::object error = nb::module_::import_("prefork.errors")
                               .attr("from_status")(status.raw_code(), nb::str(message.c_str()));
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  throw nb::python_error();
}

}  // namespace prefork::python

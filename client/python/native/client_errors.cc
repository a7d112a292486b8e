#include "client/python/native/client_errors.h"

#include <nanobind/nanobind.h>

#include <string>

#include "prefork/client.h"

namespace prefork::python {

namespace nb = nanobind;

std::string ReasonOf(const absl::Status& status) {
  const auto reason = status.GetPayload(client::kReasonUrl);
  return reason ? std::string(*reason) : "";
}

void Raise(const absl::Status& status) {
  const std::string message(status.message());
  const nb::object error = nb::module_::import_("prefork.errors")
                               .attr("from_status")(status.raw_code(), nb::str(message.c_str()),
                                                    nb::str(ReasonOf(status).c_str()));
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  throw nb::python_error();
}

}  // namespace prefork::python

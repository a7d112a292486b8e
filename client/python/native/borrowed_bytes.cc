#include "client/python/native/borrowed_bytes.h"

#include <cstddef>

namespace prefork::python {

BorrowedBytes::BorrowedBytes(nanobind::handle object) {
  if (PyBytes_Check(object.ptr())) {
    bytes_ = {PyBytes_AS_STRING(object.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(object.ptr()))};
    return;
  }
  if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw nanobind::python_error();
  bytes_ = {static_cast<const char*>(view_.buf), static_cast<size_t>(view_.len)};
}

BorrowedBytes::~BorrowedBytes() {
  if (view_.obj != nullptr) PyBuffer_Release(&view_);
}

}  // namespace prefork::python

#include "client/python/native/client_value.h"

#include <cstddef>
#include <utility>

namespace prefork::python {
namespace {

namespace nb = nanobind;

// A copy of so many bytes costs less than an object of ours.
constexpr size_t kCopyBytes = size_t{64} << 10;

struct Value {
  std::string bytes;
};

int GetBuffer(PyObject* self, Py_buffer* view, int flags) {
  const Value* const value = nb::inst_ptr<Value>(self);
  return PyBuffer_FillInfo(view, self, const_cast<char*>(value->bytes.data()),
                           static_cast<Py_ssize_t>(value->bytes.size()), /*readonly=*/1, flags);
}

PyType_Slot value_slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(GetBuffer)}, {0, nullptr}};

}  // namespace

nb::object MakeValue(std::string&& bytes) {
  if (bytes.size() < kCopyBytes) return nb::bytes(bytes.data(), bytes.size());
  return nb::cast(Value{std::move(bytes)});
}

void DefineValue(nb::module_& module) {
  nb::class_<Value>(module, "Value", nb::type_slots(value_slots))
      .def("__len__", [](const Value& value) { return value.bytes.size(); });
}

BorrowedBytes::BorrowedBytes(nb::handle object) {
  if (PyBytes_Check(object.ptr())) {
    bytes_ = {PyBytes_AS_STRING(object.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(object.ptr()))};
    return;
  }
  if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw nb::python_error();
  bytes_ = {static_cast<const char*>(view_.buf), static_cast<size_t>(view_.len)};
}

BorrowedBytes::~BorrowedBytes() {
  if (view_.obj != nullptr) PyBuffer_Release(&view_);
}

}  // namespace prefork::python

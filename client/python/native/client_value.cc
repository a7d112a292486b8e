#include "client/python/native/client_value.h"

#include <cstddef>
#include <string_view>
#include <utility>

namespace prefork::python {
namespace {

namespace nb = nanobind;

// A copy of so many bytes costs less than an object of ours.
constexpr size_t kCopyBytes = size_t{64} << 10;

struct Value {
  std::string_view view() const { return mapped != nullptr ? mapped->view() : bytes; }

  std::string bytes;
  std::shared_ptr<const client::MappedValue> mapped;
};

int GetValueBuffer(PyObject* self, Py_buffer* view, int flags) {
  const std::string_view bytes = nb::inst_ptr<Value>(self)->view();
  return PyBuffer_FillInfo(view, self, const_cast<char*>(bytes.data()),
                           static_cast<Py_ssize_t>(bytes.size()), /*readonly=*/1, flags);
}

PyType_Slot value_slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(GetValueBuffer)},
                             {0, nullptr}};

}  // namespace

nb::object MakeValue(std::string&& bytes, std::shared_ptr<const client::MappedValue> mapped) {
  Value value{std::move(bytes), std::move(mapped)};
  const std::string_view view = value.view();
  if (view.size() < kCopyBytes) return nb::bytes(view.data(), view.size());
  return nb::cast(std::move(value));
}

void DefineValue(nb::module_& module) {
  nb::class_<Value>(module, "Value", nb::type_slots(value_slots))
      .def("__len__", [](const Value& value) { return value.view().size(); });
}

}  // namespace prefork::python

#include "client/cli/json.h"

#include <google/protobuf/util/json_util.h>

#include "common/os/check.h"
#include "common/text/utf8.h"

namespace prefork::cli {

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  PREFORK_CHECK(status.ok());
  return text;
}

google::protobuf::Value ToJsonValue(const google::protobuf::Message& message) {
  google::protobuf::Value value;
  const auto status = google::protobuf::util::JsonStringToMessage(ToJson(message), &value);
  PREFORK_CHECK(status.ok());
  return value;
}

google::protobuf::Value JsonString(const std::string& text) {
  google::protobuf::Value value;
  value.set_string_value(text::CleanUtf8(text));
  return value;
}

google::protobuf::Value JsonNumber(double number) {
  google::protobuf::Value value;
  value.set_number_value(number);
  return value;
}

google::protobuf::Value JsonBool(bool truth) {
  google::protobuf::Value value;
  value.set_bool_value(truth);
  return value;
}

}  // namespace prefork::cli

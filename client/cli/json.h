#ifndef PREFORK_CLIENT_CLI_JSON_H_
#define PREFORK_CLIENT_CLI_JSON_H_

#include <google/protobuf/message.h>
#include <google/protobuf/struct.pb.h>

#include <string>

namespace prefork::cli {

// A message of the API as one line of JSON, in Protobuf's own mapping with the field names of the
// .proto files: 64-bit integers (task IDs too) and durations are strings, bytes are base64, enums
// their names. Every field is there, also when it has its default.
std::string ToJson(const google::protobuf::Message& message);

// The message as part of a larger object.
google::protobuf::Value ToJsonValue(const google::protobuf::Message& message);
google::protobuf::Value JsonString(const std::string& text);
google::protobuf::Value JsonNumber(double number);
google::protobuf::Value JsonBool(bool value);

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_JSON_H_

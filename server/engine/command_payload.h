#ifndef PREFORK_SERVER_ENGINE_COMMAND_PAYLOAD_H_
#define PREFORK_SERVER_ENGINE_COMMAND_PAYLOAD_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "server/engine/types.h"

namespace prefork::engine {

// What a worker of the command runtime gets as payload: the command, with the task's own payload as
// its standard input (common/zygote/command_codec.h).
std::string EncodeCommandPayload(const CommandSpec& command, std::string_view standard_input);

// How much of a payload of `payload_bytes` in the record came from the client.
size_t VisiblePayloadBytes(const TaskOptions& options, size_t payload_bytes);

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_COMMAND_PAYLOAD_H_

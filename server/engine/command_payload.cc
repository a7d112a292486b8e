#include "server/engine/command_payload.h"

#include "common/zygote/command_codec.h"

namespace prefork::engine {

std::string EncodeCommandPayload(const CommandSpec& command, std::string_view standard_input) {
  zygote::CommandBlock block;
  block.argv = command.argv;
  block.env = command.env;
  block.cwd = command.cwd;
  for (const auto& [resource, value] : command.limits) {
    block.limits.push_back({static_cast<uint32_t>(resource), value});
  }
  block.stdin_bytes = std::string(standard_input);
  return zygote::EncodeCommand(block);
}

size_t VisiblePayloadBytes(const TaskOptions& options, size_t payload_bytes) {
  if (!options.command) return payload_bytes;
  const size_t own = EncodeCommandPayload(*options.command, {}).size();
  return payload_bytes > own ? payload_bytes - own : 0;
}

}  // namespace prefork::engine

#ifndef PREFORK_SERVER_ENGINE_LIMITS_H_
#define PREFORK_SERVER_ENGINE_LIMITS_H_

#include <cstddef>
#include <cstdint>

// What a task may ask for, as prefork/v1/task.proto says. What reads requests refuses more by the
// name of the field; the engine refuses it whoever asks. Lengths that lanes bound are in
// common/shm/lane_layout.h.
namespace prefork::engine {

inline constexpr int32_t kMaxPriority = 1000;  // and -1000
inline constexpr uint32_t kMaxAttempts = 1000;
inline constexpr int kMaxLabels = 64;
inline constexpr int kMaxPredecessors = 10'000;
inline constexpr size_t kMaxRequestIdBytes = 255;

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_LIMITS_H_

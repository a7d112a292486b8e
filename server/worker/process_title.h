#ifndef PREFORK_SERVER_WORKER_PROCESS_TITLE_H_
#define PREFORK_SERVER_WORKER_PROCESS_TITLE_H_

#include <string_view>

namespace prefork::worker {

// Learns where the kernel finds this process's arguments. Without /proc titles are not shown.
void FindTitle();

// Shows `title` in ps and top in place of the arguments, cut to their length, and `name` (up to 15
// bytes) as the process's name.
void SetProcessTitle(std::string_view title, const char* name);

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_PROCESS_TITLE_H_

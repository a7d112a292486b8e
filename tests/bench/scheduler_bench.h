#ifndef PREFORK_TESTS_BENCH_SCHEDULER_BENCH_H_
#define PREFORK_TESTS_BENCH_SCHEDULER_BENCH_H_

namespace prefork::bench {

// How many tiny tasks a second go through the scheduler alone: submit, dispatch, finish and forget, with
// two workers and a thousand tasks in flight.
double MeasureSchedulerTasksPerSecond();

}  // namespace prefork::bench

#endif  // PREFORK_TESTS_BENCH_SCHEDULER_BENCH_H_

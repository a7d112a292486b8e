num_processes = multiprocessing.cpu_count()

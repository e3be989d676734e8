/*
 * options.h - the options that work: one row each, nothing else about them anywhere.
 *
 * X(id, key, type, default, range, when, doc): see struct conf_option in conf.h.  The key, its
 * default and its units are Flink's where Flink has it.  To add one: a row here, in its group, then
 * `make docs-conf`; delete its row in common/conf/classes.c if it had one.
 */
#ifndef CONF_OPTIONS_H
#define CONF_OPTIONS_H

/* clang-format off */
#define CONF_OPTIONS_CLUSTER_(X)                                                                   \
    X(JOBMANAGER_RPC_ADDRESS, "jobmanager.rpc.address", STRING, "localhost", "", START,            \
      "Host name or address under which TaskManagers and workers reach the JobManager.")           \
    X(JOBMANAGER_RPC_PORT, "jobmanager.rpc.port", INT, "6123", "0..65535", START,                  \
      "Port of the JobManager's RPC; 0 takes a free one.")                                         \
    X(JOBMANAGER_RPC_BIND_PORT, "jobmanager.rpc.bind-port", INT, NULL, "0..65535", START,          \
      "Port on which the JobManager listens, where it differs from `jobmanager.rpc.port`.")        \
    X(JOBMANAGER_BIND_HOST, "jobmanager.bind-host", STRING, "localhost", "", START,                \
      "Address on which the JobManager listens for RPC.")                                          \
    X(TASKMANAGER_HOST, "taskmanager.host", STRING, "localhost", "", START,                        \
      "Host name or address under which other TaskManagers reach this one.")                       \
    X(TASKMANAGER_BIND_HOST, "taskmanager.bind-host", STRING, "localhost", "", START,              \
      "Address on which the TaskManager listens.")                                                 \
    X(TASKMANAGER_DATA_PORT, "taskmanager.data.port", INT, "0", "0..65535", START,                 \
      "Port under which other workers reach the data of this TaskManager; 0 takes a free one.")    \
    X(TASKMANAGER_DATA_BIND_PORT, "taskmanager.data.bind-port", PORTS, NULL, "", START,            \
      "Port or ports on which the TaskManager listens for data, where they differ from "           \
      "`taskmanager.data.port`.")                                                                  \
    X(TASKMANAGER_NUMBEROFTASKSLOTS, "taskmanager.numberOfTaskSlots", INT, "1", "1..1024", START,  \
      "How many slots the TaskManager offers: how many parallel pipelines it runs.")               \
    X(TASKMANAGER_REGISTRATION_TIMEOUT, "taskmanager.registration.timeout", DURATION, "5 min",     \
      "1 s..", START, "How long a TaskManager tries to register before it gives up and ends.")     \
    X(CLUSTER_REGISTRATION_INITIAL_TIMEOUT, "cluster.registration.initial-timeout", DURATION,      \
      "50 ms", "1 ms..", START, "First wait between two attempts to register; it doubles.")        \
    X(CLUSTER_REGISTRATION_MAX_TIMEOUT, "cluster.registration.max-timeout", DURATION, "1 s",      \
      "1 ms..", START, "Longest wait between two attempts to register.")                            \
    X(HEARTBEAT_INTERVAL, "heartbeat.interval", DURATION, "10 s", "1 ms..", START,                 \
      "How often processes say that they live. A closed connection is noticed at once.")           \
    X(HEARTBEAT_TIMEOUT, "heartbeat.timeout", DURATION, "50 s", "1 ms..", START,                   \
      "Silence after which a peer counts as dead; not below `heartbeat.interval`.")                \
    X(HIGH_AVAILABILITY_TYPE, "high-availability.type", ENUM, "NONE", "NONE", START,               \
      "Only NONE so far: one JobManager.")

#define CONF_OPTIONS_MEMORY_(X)                                                                    \
    X(TASKMANAGER_MEMORY_PROCESS_SIZE, "taskmanager.memory.process.size", MEMORY, "1728m",         \
      "64 mb..", START, "Bounds the TaskManager with all of its workers. A slot's share is "       \
      "(this - 32 MiB) / slots.")                                                                  \
    X(TASKMANAGER_MEMORY_MANAGED_FRACTION, "taskmanager.memory.managed.fraction", DOUBLE, "0.4",   \
      "0..1", START, "Part of a slot's share that is for state.")                                  \
    X(TASKMANAGER_MEMORY_MANAGED_SIZE, "taskmanager.memory.managed.size", MEMORY, NULL, "", START, \
      "Memory for state, all slots together; instead of the fraction.")                            \
    X(TASKMANAGER_MEMORY_NETWORK_FRACTION, "taskmanager.memory.network.fraction", DOUBLE, "0.1",   \
      "0..1", START, "Part of a slot's share that is for blocks between tasks.")                   \
    X(TASKMANAGER_MEMORY_NETWORK_MIN, "taskmanager.memory.network.min", MEMORY, "64 mb", "", START,\
      "Least memory for blocks, all slots together.")                                              \
    X(TASKMANAGER_MEMORY_NETWORK_MAX, "taskmanager.memory.network.max", MEMORY, "infinite", "",    \
      START, "Most memory for blocks, all slots together.")                                        \
    X(RASK_MAX_ROW_SIZE, "rask.max-row-size", MEMORY, "64m", "1m..64m", JOB,                    \
      "A larger row fails its job with a message that names the operator.")

#define CONF_OPTIONS_JOB_(X)                                                                       \
    X(PARALLELISM_DEFAULT, "parallelism.default", INT, "1", "1..32768", JOB,                       \
      "Parallelism of a job that says none, in code or with `-p`.")                                \
    X(PIPELINE_NAME, "pipeline.name", STRING, NULL, "", JOB,                                       \
      "Name of the job where the job gives none.")                                                 \
    X(PIPELINE_MAX_PARALLELISM, "pipeline.max-parallelism", INT, "-1", "-1..32768", JOB,           \
      "Upper bound for the parallelism of keyed operators; -1 derives it from the parallelism.")   \
    X(PIPELINE_OPERATOR_CHAINING_ENABLED, "pipeline.operator-chaining.enabled", BOOL, "true", "",  \
      JOB, "Whether operators that can run in one task do.")                                       \
    X(EXECUTION_BUFFER_TIMEOUT_ENABLED, "execution.buffer-timeout.enabled", BOOL, "true", "", JOB, \
      "Whether a partly filled block leaves after the interval; if not, only when full or idle.")  \
    X(EXECUTION_BUFFER_TIMEOUT_INTERVAL, "execution.buffer-timeout.interval", DURATION, "100 ms",  \
      "", JOB, "How long a partly filled block may wait for more rows; 0 sends each row at once.") \
    X(TASKMANAGER_NETWORK_MEMORY_BUFFER_DEBLOAT_ENABLED,                                           \
      "taskmanager.network.memory.buffer-debloat.enabled", BOOL, "false", "", JOB,                 \
      "Whether as much is under way to a task as it consumes in the target time, instead of as "   \
      "much as its credits allow.")                                                                \
    X(TASKMANAGER_NETWORK_MEMORY_BUFFER_DEBLOAT_TARGET,                                            \
      "taskmanager.network.memory.buffer-debloat.target", DURATION, "1 s", "1 ms..", JOB,          \
      "In which time a task is to consume all that is under way to it.")                           \
    X(TASKMANAGER_NETWORK_MEMORY_BUFFER_DEBLOAT_PERIOD,                                            \
      "taskmanager.network.memory.buffer-debloat.period", DURATION, "200 ms", "1 ms..", JOB,       \
      "How often the credits are looked at.")                                                      \
    X(TASKMANAGER_NETWORK_MEMORY_BUFFER_DEBLOAT_SAMPLES,                                           \
      "taskmanager.network.memory.buffer-debloat.samples", INT, "20", "1..10000", JOB,             \
      "Over how many periods the throughput is averaged.")                                         \
    X(TASKMANAGER_NETWORK_MEMORY_BUFFER_DEBLOAT_THRESHOLD_PERCENTAGES,                             \
      "taskmanager.network.memory.buffer-debloat.threshold-percentages", INT, "25", "0..100", JOB, \
      "A smaller change of a credit is left out.")                                                 \
    X(EXECUTION_TARGET, "execution.target", ENUM, "remote", "remote|local", JOB,                   \
      "Where `rask run` runs a job without `-t`: on a cluster, or inside the client.")             \
    X(TASK_CANCELLATION_TIMEOUT, "task.cancellation.timeout", DURATION, "3 min", "", JOB,          \
      "How long a canceled task may take before its worker is killed; 0: wait for ever.")          \
    X(TASK_CANCELLATION_INTERVAL, "task.cancellation.interval", DURATION, "30 s", "1 ms..", JOB,   \
      "How often a task that does not end is asked again, and the log says so.")                   \
    X(RASK_EXECUTOR_THREADS, "rask.executor.threads", INT, "0", "0..1024", JOB,                    \
      "How many threads of a worker run tasks at a time; 0: as many as there are cores.")          \
    X(RASK_EXECUTOR_SPIN_US, "rask.executor.spin-us", INT, "0", "0..1000000", JOB,                 \
      "How many microseconds a thread without work looks for some before it sleeps. Takes the "    \
      "time of a wake-up out of the latency, and uses that much of a core.")                       \
    X(RASK_NETWORK_COMPRESSION, "rask.network.compression", ENUM, "none", "none|lz4", JOB,         \
      "Whether rows are compressed on their way to another TaskManager: less to send, more to "    \
      "compute. Blocks that do not shrink travel as they are.")                                    \
    X(SLOT_REQUEST_TIMEOUT, "slot.request.timeout", DURATION, "5 min", "1 ms..", JOB,              \
      "How long a job waits for slots before it fails.")

#define CONF_OPTIONS_CHECKPOINTS_(X)                                                               \
    X(STATE_BACKEND_TYPE, "state.backend.type", ENUM, "hashmap", "hashmap|leveldb|rocksdb", JOB,   \
      "Where keyed state is: `hashmap` keeps all of it in memory, `leveldb` what does not fit in " \
      "the memory for state on local disks; `rocksdb` means `leveldb`.")                                                      \
    X(STATE_BACKEND_LEVELDB_LOCALDIR, "state.backend.leveldb.localdir", STRING, NULL, "", JOB,     \
      "Folder on every TaskManager's host for state on disk; without it one below "                \
      "`io.tmp.dirs`. It must exist.")                                                             \
    X(EXECUTION_CHECKPOINTING_INTERVAL, "execution.checkpointing.interval", DURATION, NULL,        \
      "10 ms..", JOB, "How often the state of a job is saved; not set: never.")                    \
    X(EXECUTION_CHECKPOINTING_MODE, "execution.checkpointing.mode", ENUM, "EXACTLY_ONCE",          \
      "EXACTLY_ONCE|AT_LEAST_ONCE", JOB,                                                           \
      "Whether a task waits for the barriers of all its inputs, so that no row counts twice.")     \
    X(EXECUTION_CHECKPOINTING_TIMEOUT, "execution.checkpointing.timeout", DURATION, "10 min",      \
      "1 ms..", JOB, "A checkpoint that takes longer is given up.")                                \
    X(EXECUTION_CHECKPOINTING_MIN_PAUSE, "execution.checkpointing.min-pause", DURATION, "0 ms",    \
      "", JOB, "Least time between the end of a checkpoint and the begin of the next.")            \
    X(EXECUTION_CHECKPOINTING_MAX_CONCURRENT_CHECKPOINTS,                                          \
      "execution.checkpointing.max-concurrent-checkpoints", INT, "1", "1..16", JOB,                \
      "How many checkpoints may be under way at a time; 1 with a pause.")                          \
    X(EXECUTION_CHECKPOINTING_TOLERABLE_FAILED_CHECKPOINTS,                                        \
      "execution.checkpointing.tolerable-failed-checkpoints", INT, "0", "0..", JOB,                \
      "How many checkpoints in a row may fail before the job does.")                               \
    X(JOBMANAGER_EXECUTION_FAILOVER_STRATEGY, "jobmanager.execution.failover-strategy", ENUM,      \
      "region", "region|full", JOB,                                                                \
      "What starts again when a task fails: the tasks that exchange rows with it, or all.")        \
    X(EXECUTION_CHECKPOINTING_UNALIGNED_ENABLED, "execution.checkpointing.unaligned.enabled", BOOL, \
      "false", "", JOB, "Whether barriers may overtake rows, which become part of the checkpoint. " \
      "Needs EXACTLY_ONCE and one checkpoint at a time.")                                          \
    X(EXECUTION_CHECKPOINTING_UNALIGNED, "execution.checkpointing.unaligned", BOOL, "false", "",   \
      JOB, "Older name of `execution.checkpointing.unaligned.enabled`.")                           \
    X(EXECUTION_CHECKPOINTING_ALIGNED_CHECKPOINT_TIMEOUT,                                          \
      "execution.checkpointing.aligned-checkpoint-timeout", DURATION, "0 ms", "", JOB,             \
      "With unaligned checkpoints: how long barriers wait for their turn before they overtake.")   \
    X(EXECUTION_CHECKPOINTING_ALIGNMENT_TIMEOUT, "execution.checkpointing.alignment-timeout",      \
      DURATION, "0 ms", "", JOB,                                                                   \
      "Older name of `execution.checkpointing.aligned-checkpoint-timeout`.")                       \
    X(EXECUTION_CHECKPOINTING_INCREMENTAL, "execution.checkpointing.incremental", BOOL, "true", "", JOB, \
      "Whether a checkpoint writes what has changed and names files of earlier ones; else each is "  \
      "complete in itself. Flink's default is false.")                                             \
    X(EXECUTION_CHECKPOINTING_NUM_RETAINED, "execution.checkpointing.num-retained", INT, "1",      \
      "1..1000", JOB, "How many complete checkpoints are kept.")                                   \
    X(EXECUTION_CHECKPOINTING_EXTERNALIZED_CHECKPOINT_RETENTION,                                   \
      "execution.checkpointing.externalized-checkpoint-retention", ENUM,                           \
      "NO_EXTERNALIZED_CHECKPOINTS",                                                               \
      "NO_EXTERNALIZED_CHECKPOINTS|RETAIN_ON_CANCELLATION|DELETE_ON_CANCELLATION", JOB,            \
      "Whether checkpoints stay when the job fails (the last two) or is canceled (the second).")   \
    X(EXECUTION_CHECKPOINTING_DIR, "execution.checkpointing.dir", STRING, NULL, "", JOB,           \
      "Folder of checkpoints, the same for all processes; not set: one of the JobManager, which "  \
      "goes with it.")                                                                             \
    X(EXECUTION_CHECKPOINTING_SAVEPOINT_DIR, "execution.checkpointing.savepoint-dir", STRING,      \
      NULL, "", JOB, "Folder of savepoints that are asked for without one.")                       \
    X(EXECUTION_STATE_RECOVERY_PATH, "execution.state-recovery.path", STRING, NULL, "", JOB,       \
      "Checkpoint or savepoint that the job begins with: its folder or its _metadata.")            \
    X(EXECUTION_CHECKPOINTING_LOCAL_BACKUP_ENABLED,                                                \
      "execution.checkpointing.local-backup.enabled", BOOL, "false", "", JOB,                      \
      "Whether TaskManagers keep a copy of the state that their workers write; not set: as "       \
      "`execution.state-recovery.from-local`.")                                                    \
    X(EXECUTION_STATE_RECOVERY_FROM_LOCAL, "execution.state-recovery.from-local", BOOL, "false",   \
      "", JOB, "Whether a task that starts again reads the copy that its host has, and starts "    \
      "where it was.")                                                                             \
    X(STATE_BACKEND_LOCAL_RECOVERY, "state.backend.local-recovery", BOOL, "false", "", JOB,        \
      "Older name of `execution.state-recovery.from-local`.")                                      \
    X(EXECUTION_STATE_RECOVERY_IGNORE_UNCLAIMED_STATE,                                             \
      "execution.state-recovery.ignore-unclaimed-state", BOOL, "false", "", JOB,                   \
      "Whether state that the job has no operator for is left out; else the job fails.")           \
    X(EXECUTION_STATE_RECOVERY_CLAIM_MODE, "execution.state-recovery.claim-mode", ENUM,            \
      "NO_CLAIM", "NO_CLAIM|CLAIM", JOB,                                                           \
      "CLAIM: the job owns the files it begins with, and removes them when it needs them no more.") \
    X(RESTART_STRATEGY_TYPE, "restart-strategy.type", ENUM, NULL,                                  \
      "none|off|disable|fixed-delay|fixeddelay|failure-rate|failurerate|exponential-delay|"        \
      "exponentialdelay", JOB, "How a failed job starts again; not set: exponential-delay with "   \
      "checkpoints, none without. The first restart after a lost process is immediate.")           \
    X(RESTART_STRATEGY_FIXED_DELAY_ATTEMPTS, "restart-strategy.fixed-delay.attempts", INT, "1",    \
      "0..", JOB, "How many restarts before the job fails.")                                       \
    X(RESTART_STRATEGY_FIXED_DELAY_DELAY, "restart-strategy.fixed-delay.delay", DURATION, "1 s",   \
      "", JOB, "Wait before each restart.")                                                        \
    X(RESTART_STRATEGY_FAILURE_RATE_MAX_FAILURES_PER_INTERVAL,                                     \
      "restart-strategy.failure-rate.max-failures-per-interval", INT, "1", "1..1024", JOB,         \
      "More failures within the interval fail the job.")                                           \
    X(RESTART_STRATEGY_FAILURE_RATE_FAILURE_RATE_INTERVAL,                                         \
      "restart-strategy.failure-rate.failure-rate-interval", DURATION, "1 min", "1 ms..", JOB,     \
      "The interval in which failures are counted.")                                               \
    X(RESTART_STRATEGY_FAILURE_RATE_DELAY, "restart-strategy.failure-rate.delay", DURATION,        \
      "1 s", "", JOB, "Wait before each restart.")                                                 \
    X(RESTART_STRATEGY_EXPONENTIAL_DELAY_INITIAL_BACKOFF,                                          \
      "restart-strategy.exponential-delay.initial-backoff", DURATION, "1 s", "1 ms..", JOB,        \
      "Wait before the first restart.")                                                            \
    X(RESTART_STRATEGY_EXPONENTIAL_DELAY_MAX_BACKOFF,                                              \
      "restart-strategy.exponential-delay.max-backoff", DURATION, "1 min", "1 ms..", JOB,          \
      "Longest wait before a restart.")                                                            \
    X(RESTART_STRATEGY_EXPONENTIAL_DELAY_BACKOFF_MULTIPLIER,                                       \
      "restart-strategy.exponential-delay.backoff-multiplier", DOUBLE, "1.5", "1..", JOB,          \
      "What the wait is multiplied with after each failure.")                                      \
    X(RESTART_STRATEGY_EXPONENTIAL_DELAY_RESET_BACKOFF_THRESHOLD,                                  \
      "restart-strategy.exponential-delay.reset-backoff-threshold", DURATION, "1 h", "1 ms..",     \
      JOB, "Time without a failure after which the wait is the first one again.")                  \
    X(RESTART_STRATEGY_EXPONENTIAL_DELAY_JITTER_FACTOR,                                            \
      "restart-strategy.exponential-delay.jitter-factor", DOUBLE, "0.1", "0..1", JOB,              \
      "Part of the wait that is drawn at random, so that jobs do not restart together.")           \
    X(RESTART_STRATEGY_EXPONENTIAL_DELAY_ATTEMPTS_BEFORE_RESET_BACKOFF,                            \
      "restart-strategy.exponential-delay.attempts-before-reset-backoff", INT, "infinite",         \
      "1..", JOB, "How many restarts in a row before the job fails.")

#define CONF_OPTIONS_METRICS_(X)                                                                   \
    X(METRICS_LATENCY_INTERVAL, "metrics.latency.interval", DURATION, "0 ms", "", JOB,             \
      "How often sources send latency markers; 0: never.")                                         \
    X(METRICS_LATENCY_GRANULARITY, "metrics.latency.granularity", ENUM, "operator",                \
      "single|operator|subtask", JOB,                                                              \
      "Whether an operator keeps one histogram of latency, one of each source, or one of each "    \
      "subtask of a source.")                                                                      \
    X(METRICS_LATENCY_HISTORY_SIZE, "metrics.latency.history-size", INT, "128", "1..100000", JOB,  \
      "How many of the last markers a histogram of latency is made of.")

#define CONF_OPTIONS_REST_(X)                                                                      \
    X(REST_ADDRESS, "rest.address", STRING, "localhost", "", START,                                \
      "Host name or address under which clients reach the REST API.")                              \
    X(REST_PORT, "rest.port", INT, "8081", "0..65535", START,                                      \
      "Port of the REST API, for clients, and for the server without `rest.bind-port`.")           \
    X(REST_BIND_ADDRESS, "rest.bind-address", STRING, "localhost", "", START,                      \
      "Address on which the REST server listens.")                                                 \
    X(REST_BIND_PORT, "rest.bind-port", PORTS, NULL, "", START,                                    \
      "Port or ports on which the REST server listens, the first free one; 0 takes any.")          \
    X(REST_IDLENESS_TIMEOUT, "rest.idleness-timeout", DURATION, "5 min", "1 ms..", START,          \
      "How long a connection may be silent before it is closed.")                                  \
    X(REST_SERVER_MAX_CONTENT_LENGTH, "rest.server.max-content-length", INT, "67108864",           \
      "1024..1073741824", START, "Largest body that the server takes, in bytes.")                  \
    X(WEB_SUBMIT_ENABLE, "web.submit.enable", BOOL, "true", "", START,                             \
      "Whether jobs may be uploaded and started over `/jars`.")                                    \
    X(WEB_CANCEL_ENABLE, "web.cancel.enable", BOOL, "true", "", START,                             \
      "Whether the dashboard may cancel jobs.")                                                    \
    X(WEB_REFRESH_INTERVAL, "web.refresh-interval", DURATION, "3 s", "1 ms..", START,              \
      "How often the dashboard asks again.")                                                       \
    X(WEB_ACCESS_CONTROL_ALLOW_ORIGIN, "web.access-control-allow-origin", STRING, NULL, "", START, \
      "Another origin whose pages may use the REST API; not set, none may.")                       \
    X(WEB_UPLOAD_DIR, "web.upload.dir", STRING, NULL, "", START,                                   \
      "Folder of uploaded artifacts; without it a folder below `io.tmp.dirs`.")

#define CONF_OPTIONS_FILES_(X)                                                                     \
    X(IO_TMP_DIRS, "io.tmp.dirs", STRING, "/tmp", "", START,                                       \
      "Folders for temporary files, separated by `,`, `;` or `:`.")                                \
    X(EXECUTION_CHECKPOINTING_LOCAL_BACKUP_DIRS, "execution.checkpointing.local-backup.dirs",      \
      STRING, NULL, "", START,                                                                     \
      "Folder below which a TaskManager keeps copies of state, the first of a list; not set, its " \
      "working folder.")                                                                           \
    X(TASKMANAGER_STATE_LOCAL_ROOT_DIRS, "taskmanager.state.local.root-dirs", STRING, NULL, "",    \
      START, "Older name of `execution.checkpointing.local-backup.dirs`.")                         \
    X(PROCESS_TASKMANAGER_WORKING_DIR, "process.taskmanager.working-dir", STRING, NULL, "", START, \
      "Folder below which a TaskManager keeps what it can use again when it comes back; not set: " \
      "`process.working-dir`.")                                                                    \
    X(PROCESS_WORKING_DIR, "process.working-dir", STRING, NULL, "", START,                         \
      "The same of all processes; not set: `io.tmp.dirs`.")                                        \
    X(TASKMANAGER_RESOURCE_ID, "taskmanager.resource-id", STRING, NULL, "", START,                 \
      "Name under which a TaskManager that was ended is known again when it comes back, and finds "\
      "its copies of state; not set, each start is a new TaskManager.")                            \
    X(BLOB_STORAGE_DIRECTORY, "blob.storage.directory", STRING, NULL, "", START,                   \
      "Folder of the artifacts of jobs; without it a folder below `io.tmp.dirs`.")                 \
    X(JOBSTORE_TYPE, "jobstore.type", ENUM, "File", "File|Memory", START,                          \
      "Where finished jobs are kept.")                                                             \
    X(JOBSTORE_CACHE_SIZE, "jobstore.cache-size", INT, "52428800", "0..", START,                   \
      "Memory for finished jobs that were looked at, in bytes.")                                   \
    X(JOBSTORE_EXPIRATION_TIME, "jobstore.expiration-time", INT, "3600", "1..", START,             \
      "Seconds after which a finished job is forgotten.")                                          \
    X(JOBSTORE_MAX_CAPACITY, "jobstore.max-capacity", INT, "infinite", "1..", START,               \
      "How many finished jobs are kept; the oldest go.")                                           \
    X(ENV_LOG_DIR, "env.log.dir", STRING, NULL, "", START,                                         \
      "Folder of log files; RASK_LOG_DIR wins; without both `log` beside `conf`.")                 \
    X(ENV_LOG_LEVEL, "env.log.level", ENUM, "INFO", "DEBUG|INFO|WARN|ERROR|OFF", START,            \
      "Least level that is written to logs.")                                                      \
    X(ENV_LOG_MAX, "env.log.max", INT, "10", "0..1000", START, "How many old log files are kept.") \
    X(RASK_LOG_MAX_SIZE, "rask.log.max-size", MEMORY, "100 mb", "64 kb..", START,                  \
      "A log file that is larger is put away under the next number.")                              \
    X(RASK_LOG_MODULES, "rask.log.modules", STRING, NULL, "", START,                               \
      "Levels of single modules, such as `rpc=debug,scheduler=warn`.")                             \
    X(ENV_PID_DIR, "env.pid.dir", STRING, "/tmp", "", START,                                       \
      "Folder of pid files; RASK_PID_DIR wins.")                                                   \
    X(ENV_SSH_OPTS, "env.ssh.opts", STRING, NULL, "", START,                                       \
      "Options of ssh when scripts start daemons on other hosts; RASK_SSH_OPTS wins.")

#define CONF_OPTIONS_SECURITY_(X)                                                                  \
    X(SECURITY_ALLOW_PLAINTEXT, "security.allow-plaintext", BOOL, "false", "", START,              \
      "Whether a daemon may listen beyond loopback without TLS. Everybody who reaches its ports "  \
      "may then run code.")                                                                        \
    X(SECURITY_SSL_INTERNAL_ENABLED, "security.ssl.internal.enabled", BOOL, "false", "", START,    \
      "TLS between JobManager, TaskManagers and workers: daemons show certificates, workers "      \
      "prove the secret of their job. `rask security init` makes the files.")                      \
    X(TASKMANAGER_DATA_SSL_ENABLED, "taskmanager.data.ssl.enabled", BOOL, "true", "", START,       \
      "With `security.ssl.internal.enabled`: TLS for the data between workers, too. Without "      \
      "it they still prove the secret of their job.")                                              \
    X(SECURITY_SSL_INTERNAL_KEYSTORE, "security.ssl.internal.keystore", STRING, NULL, "", START,   \
      "PEM file of the daemons: certificate, chain, private key. Readable by its owner alone. "    \
      "Instead of `security.ssl.keystore`.")                                                       \
    X(SECURITY_SSL_INTERNAL_KEYSTORE_TYPE, "security.ssl.internal.keystore-type",                  \
      ENUM, "PEM", "PEM", START,                                                                   \
      "Only PEM.")                                                                                 \
    X(SECURITY_SSL_INTERNAL_KEY_PASSWORD, "security.ssl.internal.key-password",                    \
      STRING, NULL, "", START,                                                                     \
      "Password of the private key, if that is encrypted. Instead of `security.ssl.key-"           \
      "password`.")                                                                                \
    X(SECURITY_SSL_INTERNAL_TRUSTSTORE, "security.ssl.internal.truststore",                        \
      STRING, NULL, "", START,                                                                     \
      "PEM file of the certificates whose signature is trusted inside the cluster. Instead of "    \
      "`security.ssl.truststore`.")                                                                \
    X(SECURITY_SSL_INTERNAL_TRUSTSTORE_TYPE, "security.ssl.internal.truststore-type",              \
      ENUM, "PEM", "PEM", START,                                                                   \
      "Only PEM.")                                                                                 \
    X(SECURITY_SSL_INTERNAL_CERT_FINGERPRINT, "security.ssl.internal.cert.fingerprint",            \
      STRING, NULL, "", START,                                                                     \
      "SHA-1 or SHA-256 of the one certificate that daemons may show, in hex; for authorities "    \
      "that sign for others, too.")                                                                \
    X(SECURITY_SSL_INTERNAL_HANDSHAKE_TIMEOUT, "security.ssl.internal.handshake-timeout",          \
      INT, "-1", "-1..3600000", START,                                                             \
      "Milliseconds in which a TLS handshake has to end; -1: 10 s.")                               \
    X(SECURITY_SSL_INTERNAL_CLOSE_NOTIFY_FLUSH_TIMEOUT, "security.ssl.internal.close-notify-flush-timeout",\
      INT, "-1", "-1..3600000", START,                                                             \
      "Milliseconds for what is still to be sent when a connection is closed; -1: 1 s.")           \
    X(SECURITY_SSL_KEYSTORE, "security.ssl.keystore", STRING, NULL, "", START,                     \
      "Where the more special key is not set.")                                                    \
    X(SECURITY_SSL_KEYSTORE_TYPE, "security.ssl.keystore-type", ENUM, "PEM", "PEM", START,         \
      "Only PEM.")                                                                                 \
    X(SECURITY_SSL_KEY_PASSWORD, "security.ssl.key-password", STRING, NULL, "", START,             \
      "Where the more special key is not set.")                                                    \
    X(SECURITY_SSL_TRUSTSTORE, "security.ssl.truststore", STRING, NULL, "", START,                 \
      "Where the more special key is not set.")                                                    \
    X(SECURITY_SSL_TRUSTSTORE_TYPE, "security.ssl.truststore-type", ENUM, "PEM", "PEM", START,     \
      "Only PEM.")                                                                                 \
    X(SECURITY_SSL_PROTOCOL, "security.ssl.protocol", ENUM, "TLSv1.3", "TLSv1.3", START,           \
      "Only TLSv1.3: nothing older is spoken.")                                                    \
    X(SECURITY_SSL_ALGORITHMS, "security.ssl.algorithms",                                          \
      STRING, "TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384", "", START,                          \
      "Ciphers of TLS 1.3, the preferred one first; workers use that one.")                        \
    X(SECURITY_SSL_REST_ENABLED, "security.ssl.rest.enabled", BOOL, "false", "", START,            \
      "TLS for REST: the JobManager shows a certificate, `rask` checks it.")                       \
    X(SECURITY_SSL_REST_AUTHENTICATION_ENABLED, "security.ssl.rest.authentication-enabled",        \
      BOOL, "false", "", START,                                                                    \
      "Clients of REST have to show a certificate, too. Without it REST with TLS stays on "        \
      "loopback: whoever reaches it can run code.")                                                \
    X(SECURITY_SSL_REST_KEYSTORE, "security.ssl.rest.keystore", STRING, NULL, "", START,           \
      "PEM file: certificate, chain, private key of the JobManager; with authentication, of a "    \
      "client, too. Instead of `security.ssl.keystore`.")                                          \
    X(SECURITY_SSL_REST_KEYSTORE_TYPE, "security.ssl.rest.keystore-type",                          \
      ENUM, "PEM", "PEM", START,                                                                   \
      "Only PEM.")                                                                                 \
    X(SECURITY_SSL_REST_KEY_PASSWORD, "security.ssl.rest.key-password", STRING, NULL, "", START,   \
      "Password of the private key, if that is encrypted. Instead of `security.ssl.key-"           \
      "password`.")                                                                                \
    X(SECURITY_SSL_REST_TRUSTSTORE, "security.ssl.rest.truststore", STRING, NULL, "", START,       \
      "PEM file: whose signature clients trust, and with authentication the JobManager. "          \
      "Instead of `security.ssl.truststore`.")                                                     \
    X(SECURITY_SSL_REST_TRUSTSTORE_TYPE, "security.ssl.rest.truststore-type",                      \
      ENUM, "PEM", "PEM", START,                                                                   \
      "Only PEM.")                                                                                 \
    X(SECURITY_SSL_REST_CERT_FINGERPRINT, "security.ssl.rest.cert.fingerprint",                    \
      STRING, NULL, "", START,                                                                     \
      "SHA-1 or SHA-256 of the one certificate that the other side of REST may show.")             \
    X(SECURITY_SSL_VERIFY_HOSTNAME, "security.ssl.verify-hostname", BOOL, "true", "", START,       \
      "Whether `rask` compares the name in the certificate with the host that it calls.")

#define CONF_OPTIONS(X)                                                                            \
    CONF_OPTIONS_CLUSTER_(X)                                                                       \
    CONF_OPTIONS_MEMORY_(X)                                                                        \
    CONF_OPTIONS_JOB_(X)                                                                           \
    CONF_OPTIONS_METRICS_(X)                                                                       \
    CONF_OPTIONS_CHECKPOINTS_(X)                                                                   \
    CONF_OPTIONS_REST_(X)                                                                          \
    CONF_OPTIONS_FILES_(X)                                                                         \
    CONF_OPTIONS_SECURITY_(X)
/* clang-format on */

#endif

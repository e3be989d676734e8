/*
 * classes.c - the keys of Flink 1.20 that do nothing here, and why: each key of Flink is either a
 * row of options.h or matches one of these.
 *
 * A row is a key, or a prefix with a star; an exact row wins over a prefix, a longer prefix over a
 * shorter one.  Prefixes only where a whole family shares its fate, so that a misspelt key of a
 * family that works is still told as unknown.  A key that starts to work moves to options.h.
 */
#include "common/base/check.h"
#include "common/conf/conf_private.h"

#define NOTHING(pattern, why) {pattern, CONF_MEANS_NOTHING, why},
#define NOT_YET(pattern) {pattern, CONF_NOT_YET, NULL},

#define NO_JVM "there is no JVM."
#define NO_CLASSES "jobs are shared objects, not Java classes."
#define NO_SERIALIZERS "rows have declared schemas; there is no serializer to choose."
#define NO_BLOB_SERVER "artifacts travel over REST and RPC; there is no blob server."
#define NO_HEAP "there is no heap to divide; taskmanager.memory.process.size bounds all of it."
#define NO_DATASET "the DataSet API is not there."
#define ONE_LOOP "control runs on one event loop."
#define REST_LOOP "REST runs on one event loop of its own."
#define NO_TM_RPC_PORT "a TaskManager calls the JobManager, and listens on its data port alone."
#define NO_PEKKO "RPC does not use Pekko or Akka."
#define NO_NETTY "the data plane does not use Netty."
#define NO_SESSIONS "no TLS session is resumed; each connection proves anew who it is."
#define PEM_HAS_NO_PASSWORD "a PEM file has no password of its own; that of the key in it is key-password."
#define NO_ROCKSDB "there is no RocksDB; state on disk has keys of its own."

/* clang-format off */
const struct conf_class_row conf_class_rows[] = {
    /* the endpoint of the SQL gateway writes its keys without a prefix */
    NOT_YET("address")
    NOT_YET("bind-address")
    NOT_YET("bind-port")
    NOT_YET("port")
    NOT_YET("sql-gateway.*")
    NOT_YET("sql-client.*")

    NOTHING("akka.*", NO_PEKKO)
    NOTHING("pekko.*", NO_PEKKO)

    NOTHING("blob.client.connect.timeout", NO_BLOB_SERVER)
    NOTHING("blob.client.socket.timeout", NO_BLOB_SERVER)
    NOTHING("blob.fetch.backlog", NO_BLOB_SERVER)
    NOTHING("blob.fetch.num-concurrent", NO_BLOB_SERVER)
    NOTHING("blob.fetch.retries", NO_BLOB_SERVER)
    NOTHING("blob.offload.minsize", NO_BLOB_SERVER)
    NOTHING("blob.server.port", NO_BLOB_SERVER)
    NOTHING("blob.service.cleanup.interval",
            "an artifact is removed with the last job that uses it.")
    NOTHING("blob.service.ssl.enabled", NO_BLOB_SERVER)

    NOTHING("classloader.*", NO_CLASSES)
    NOT_YET("cleanup-strategy.*")
    NOT_YET("client.heartbeat.interval")
    NOT_YET("client.heartbeat.timeout")
    NOT_YET("client.retry-period")
    NOT_YET("client.timeout")
    NOT_YET("pipeline.operator-chaining.chain-operators-with-different-max-parallelism")
    NOT_YET("rest.connection-timeout")
    NOTHING("cluster.intercept-user-system-exit",
            "a job that calls exit() ends its own worker and nothing else.")
    NOT_YET("cluster.id")
    NOT_YET("cluster.io-pool.size")
    NOTHING("cluster.processes.halt-on-fatal-error", NO_JVM)
    NOT_YET("cluster.registration.error-delay")
    NOT_YET("cluster.registration.refused-registration-delay")
    NOT_YET("cluster.services.shutdown-timeout")
    NOT_YET("cluster.thread-dump.stacktrace-max-depth")
    NOTHING("cluster.uncaught-exception-handling",
            "a crash of user code always ends its worker, and the job says why.")
    NOTHING("compiler.*", NO_DATASET)
    NOT_YET("completed-application-store.*")
    NOT_YET("application-result-store.*")

    NOT_YET("env.hadoop.conf.dir")
    NOT_YET("env.hbase.conf.dir")
    NOT_YET("env.yarn.conf.dir")
    NOTHING("env.java.*", NO_JVM)
    NOTHING("env.stdout-err.redirect-to-file",
            "standard output and error of daemons and workers always go to files.")
    NOT_YET("events.*")

    NOTHING("execution.attached", "`rask run` is attached unless -d is given.")
    NOT_YET("execution.batch-shuffle-mode")
    NOT_YET("execution.batch.*")
    NOT_YET("execution.checkpointing.*")
    NOTHING("execution.checkpointing.unaligned.forced",
            "it is for iterations, which there are none of.")
    NOTHING("execution.checkpointing.unaligned.max-subtasks-per-channel-state-file",
            "rows in flight of all tasks of a worker are in one file.")
    NOTHING("execution.checkpointing.unaligned.recover-output-on-downstream.enabled",
            "rows in flight are given out again by those who had sent them.")
    NOTHING("execution.job-listeners", NO_CLASSES)
    NOT_YET("execution.program-config.enabled")
    NOT_YET("execution.program-config.wildcards")
    NOT_YET("execution.runtime-mode")
    NOT_YET("execution.shutdown-on-application-finish")
    NOT_YET("execution.shutdown-on-attached-exit")
    NOTHING("execution.sort-keyed-partition.memory", NO_DATASET)
    NOTHING("execution.sort-partition.memory", NO_DATASET)
    NOT_YET("execution.state-recovery.*")
    NOT_YET("execution.submit-failed-job-on-application-error")

    NOT_YET("external-resource.*")
    NOT_YET("external-resources")
    NOT_YET("flink.hadoop.*")
    NOT_YET("flink.yarn.*")
    NOT_YET("fs.allowed-fallback-filesystems")
    NOT_YET("fs.default-scheme")
    NOTHING("fs.output.always-create-directory", NO_DATASET)
    NOTHING("fs.overwrite-files", NO_DATASET)
    NOTHING("heartbeat.rpc-failure-threshold",
            "a connection that is closed is noticed at once.")
    NOT_YET("high-availability.*")
    NOT_YET("historyserver.*")
    NOTHING("jmx.*", NO_JVM)
    NOT_YET("job-event.*")
    NOT_YET("job-result-store.*")

    NOT_YET("jobmanager.adaptive-scheduler.*")
    NOT_YET("jobmanager.archive.fs.dir")
    NOT_YET("jobmanager.execution.attempts-history-size")
    NOT_YET("jobmanager.failure-enrichers")
    NOTHING("jobmanager.future-pool.size", ONE_LOOP)
    NOTHING("jobmanager.heap.size", NO_JVM)
    NOTHING("jobmanager.io-pool.size", ONE_LOOP)
    NOTHING("jobmanager.memory.*",
            "the JobManager takes what its jobs need, some ten MiB; there is no heap to size.")
    NOT_YET("jobmanager.partition.hybrid.partition-data-consume-constraint")
    NOT_YET("jobmanager.resource-id")
    NOTHING("jobmanager.retrieve-taskmanager-hostname",
            "a TaskManager says its host name itself.")
    NOT_YET("jobmanager.scheduler")

    NOT_YET("kubernetes.*")
    NOT_YET("materialized-table.*")
    NOT_YET("mesos.*")
    NOTHING("metrics.internal.query-service.*",
            "metrics are asked over the connections that exist anyway.")
    NOT_YET("metrics.*")
    NOTHING("minicluster.number-of-taskmanagers",
            "`--target local` runs one worker; its slots follow the job.")
    NOT_YET("partition.fields.*")

    NOT_YET("pipeline.auto-generate-uids")
    NOT_YET("pipeline.auto-watermark-interval")
    NOT_YET("pipeline.cached-files")
    NOT_YET("pipeline.cep.*")
    NOTHING("pipeline.classpaths", NO_CLASSES)
    NOTHING("pipeline.closure-cleaner-level", NO_CLASSES)
    NOTHING("pipeline.force-avro", NO_SERIALIZERS)
    NOTHING("pipeline.force-kryo", NO_SERIALIZERS)
    NOTHING("pipeline.force-kryo-avro", NO_SERIALIZERS)
    NOTHING("pipeline.generic-types", NO_SERIALIZERS)
    NOT_YET("pipeline.global-job-parameters")
    NOTHING("pipeline.jars", "a job is the one artifact that `rask run` is given.")
    NOT_YET("pipeline.jobvertex-parallelism-overrides")
    NOTHING("pipeline.object-reuse",
            "batches are immutable and shared; nothing is copied between operators.")
    NOTHING("pipeline.serialization-config", NO_SERIALIZERS)
    NOT_YET("pipeline.vertex-description-mode")
    NOT_YET("pipeline.vertex-name-include-index-prefix")
    NOT_YET("pipeline.watermark-alignment.allow-unaligned-source-splits")

    NOT_YET("process.*")
    NOTHING("python.*", "jobs are written in C.")
    NOT_YET("queryable-state.*")
    NOT_YET("resourcemanager.*")

    NOT_YET("rest.async.store-duration")
    NOT_YET("rest.await-leader-timeout")
    NOT_YET("rest.cache.checkpoint-statistics.size")
    NOT_YET("rest.cache.checkpoint-statistics.timeout")
    NOT_YET("rest.client.max-content-length")
    NOT_YET("rest.flamegraph.*")
    NOT_YET("rest.path")
    NOT_YET("rest.profiling.*")
    NOT_YET("rest.retry.delay")
    NOT_YET("rest.retry.max-attempts")
    NOTHING("rest.server.numThreads", REST_LOOP)
    NOTHING("rest.server.thread-priority", REST_LOOP)
    NOT_YET("rest.url-prefix")
    NOT_YET("scheduler-mode")

    NOTHING("security.context.factory.classes", NO_CLASSES)
    NOT_YET("security.delegation.*")
    NOT_YET("security.kerberos.*")
    NOTHING("security.module.factory.classes", NO_CLASSES)
    NOT_YET("security.redaction.additional-keys")
    NOTHING("security.ssl.internal.keystore-password", PEM_HAS_NO_PASSWORD)
    NOTHING("security.ssl.internal.session-cache-size", NO_SESSIONS)
    NOTHING("security.ssl.internal.session-timeout", NO_SESSIONS)
    NOTHING("security.ssl.internal.truststore-password", PEM_HAS_NO_PASSWORD)
    NOTHING("security.ssl.keystore-password", PEM_HAS_NO_PASSWORD)
    NOTHING("security.ssl.rest.keystore-password", PEM_HAS_NO_PASSWORD)
    NOTHING("security.ssl.rest.truststore-password", PEM_HAS_NO_PASSWORD)
    NOTHING("security.ssl.truststore-password", PEM_HAS_NO_PASSWORD)
    NOTHING("security.ssl.provider", "TLS is OpenSSL's.")
    NOTHING("shuffle-service-factory.class", NO_CLASSES)
    NOT_YET("slot.idle.timeout")
    NOT_YET("slotmanager.*")
    NOT_YET("slow-task-detector.*")

    NOT_YET("state.*")
    NOTHING("state.backend.rocksdb.*", NO_ROCKSDB)
    NOT_YET("table.*")
    NOTHING("table.generated-code.max-length",
            "expressions are interpreted by vectors; no code is generated.")
    NOTHING("table.exec.operator-fusion-codegen.enabled",
            "expressions are interpreted by vectors; no code is generated.")

    NOT_YET("task.cancellation.timers.timeout")
    NOT_YET("taskmanager.collect-sink.port")
    NOTHING("taskmanager.debug.memory.log", NO_JVM)
    NOTHING("taskmanager.debug.memory.log-interval", NO_JVM)
    NOTHING("taskmanager.heap.size", NO_HEAP)
    NOTHING("taskmanager.jvm-exit-on-oom", NO_JVM)
    NOT_YET("taskmanager.load-balance.mode")
    NOTHING("taskmanager.log.path", "log files have fixed names in env.log.dir.")
    NOTHING("taskmanager.memory.flink.size", NO_HEAP)
    NOTHING("taskmanager.memory.framework.*", NO_HEAP)
    NOTHING("taskmanager.memory.jvm-metaspace.size", NO_JVM)
    NOTHING("taskmanager.memory.jvm-overhead.*", NO_JVM)
    NOT_YET("taskmanager.memory.managed.consumer-weights")
    NOTHING("taskmanager.memory.min-segment-size", "blocks are cut by rows and bytes.")
    NOTHING("taskmanager.memory.segment-size", "blocks are cut by rows and bytes.")
    NOTHING("taskmanager.memory.task.*", NO_HEAP)
    NOT_YET("taskmanager.network.bind-policy")
    NOT_YET("taskmanager.network.compression.codec")
    NOT_YET("taskmanager.network.detailed-metrics")
    NOT_YET("taskmanager.network.hybrid-shuffle.*")
    NOT_YET("taskmanager.network.memory.read-buffer.*")
    NOTHING("taskmanager.network.netty.*", NO_NETTY)
    NOT_YET("taskmanager.network.partition-request-timeout")
    NOT_YET("taskmanager.network.request-backoff.initial")
    NOT_YET("taskmanager.network.request-backoff.max")
    NOT_YET("taskmanager.network.retries")
    NOT_YET("taskmanager.network.sort-shuffle.*")
    NOTHING("taskmanager.network.tcp-connection.enable-reuse-across-jobs",
            "each job has its own workers, and a pair of workers one connection.")
    NOTHING("taskmanager.rpc.bind-port", NO_TM_RPC_PORT)
    NOTHING("taskmanager.rpc.port", NO_TM_RPC_PORT)
    NOT_YET("taskmanager.runtime.fs-timeout")
    NOTHING("taskmanager.runtime.hashjoin-bloom-filters", NO_DATASET)
    NOTHING("taskmanager.runtime.large-record-handler", NO_DATASET)
    NOTHING("taskmanager.runtime.max-fan", NO_DATASET)
    NOTHING("taskmanager.runtime.sort-spilling-threshold", NO_DATASET)
    NOT_YET("taskmanager.slot.timeout")
    NOTHING("taskmanager.system-out.log.cache-upper-size", NO_JVM)
    NOTHING("taskmanager.system-out.log.thread-name.enabled", NO_JVM)
    NOTHING("taskmanager.system-out.mode",
            "standard output of a worker always goes to its .out file.")

    NOT_YET("traces.*")
    NOT_YET("user.artifacts.*")
    NOT_YET("web.checkpoints.history")
    NOT_YET("web.exception-history-size")
    NOT_YET("web.history")
    NOTHING("web.log.path", "log files have fixed names in env.log.dir.")
    NOT_YET("web.rescale.enable")
    NOT_YET("web.timeout")
    NOT_YET("web.tmpdir")
    NOT_YET("yarn.*")
    NOT_YET("zookeeper.*")
};
/* clang-format on */

const size_t conf_class_row_count = ARRAY_LEN(conf_class_rows);

package rask.bench;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URL;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.api.common.JobExecutionResult;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/**
 * Runs jobs on a session cluster: arguments are host and port of its REST; each line of standard input is a job, such as
 * "q0 form=sql events=1000000 reuse=1", and gives a line "rows=N checksum=C seconds=S" (RUNNING to FINISHED) or "failed: why".  " beyond=R" more of state: rows a second
 * after the last new key.
 */
public final class Driver {
    private Driver() {}

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null;) {
            try {
                System.out.println(run(line, args[0], Integer.parseInt(args[1])));
            } catch (Exception e) {
                Throwable cause = e;
                while (cause.getCause() != null)
                    cause = cause.getCause();
                System.out.println("failed: " + String.valueOf(cause).replace('\n', ' '));
            }
            System.out.flush();
        }
    }

    static String run(String line, String host, int port) throws Exception {
        String[] words = line.trim().split("\\s+");
        Map<String, String> o = new HashMap<>();
        for (int i = 1; i < words.length; i++)
            o.put(words[i].substring(0, words[i].indexOf('=')), words[i].substring(words[i].indexOf('=') + 1));
        boolean reuse = o.getOrDefault("reuse", "1").equals("1");
        Configuration c = new Configuration();
        c.setString("pipeline.object-reuse", Boolean.toString(reuse));
        if (o.containsKey("timeout"))
            c.setString("execution.buffer-timeout.interval", o.get("timeout"));
        if (words[0].equals("state"))
            c.setString("state.backend.type", "rocksdb");
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createRemoteEnvironment(host, port, c);
        env.setParallelism(Integer.parseInt(o.getOrDefault("p", "2")));
        JobClient job;
        if (words[0].startsWith("q") && o.getOrDefault("form", "sql").equals("sql")) {
            StreamTableEnvironment t = StreamTableEnvironment.create(env);
            String[] query = NexmarkTable.query(words[0]);
            t.getConfig().set("table.local-time-zone", "UTC");
            t.executeSql(String.format(NexmarkTable.EVENTS, Long.parseLong(o.get("events"))));
            t.executeSql(NexmarkTable.BIDS);
            t.executeSql("CREATE TEMPORARY TABLE answer (" + query[0] + ") WITH ('connector' = 'rask-checksum')");
            job = t.executeSql("INSERT INTO answer " + query[1]).getJobClient().get();
        } else {
            if (words[0].startsWith("q"))
                Jobs.nexmark(env, words[0], Long.parseLong(o.get("events")), reuse);
            else if (words[0].equals("wordcount"))
                Jobs.wordCount(env, o.get("file"));
            else if (words[0].equals("mergedwordcount"))
                Jobs.mergedWordCount(env, o.get("file"));
            else if (words[0].equals("state"))
                Jobs.state(env, Long.parseLong(o.get("rows")), Long.parseLong(o.get("keys")), Integer.parseInt(o.get("text")), reuse);
            else
                Jobs.rows(env, words[0], Long.parseLong(o.get("rows")), Long.parseLong(o.getOrDefault("keys", "0")), reuse);
            job = env.executeAsync(line);
        }
        JobExecutionResult result = job.getJobExecutionResult().get();
        long low = result.getAccumulatorResult("checksum_low"), high = result.getAccumulatorResult("checksum_high");
        String told = new String(new URL("http://" + host + ":" + port + "/jobs/" + job.getJobID()).openStream().readAllBytes());
        long took = time(told, "FINISHED") - time(told, "RUNNING");
        Double beyond = result.getAccumulatorResult("beyond");
        return String.format("rows=%d checksum=%s seconds=%.3f", (long) result.getAccumulatorResult("rows"),
                Long.toUnsignedString((high << 32) + low), took / 1e3) + (beyond == null ? "" : String.format(" beyond=%.0f", beyond));
    }

    private static long time(String job, String state) {
        Matcher m = Pattern.compile("\"timestamps\":\\{[^}]*\"" + state + "\":(\\d+)").matcher(job);
        if (!m.find())
            throw new IllegalStateException("no time of " + state + " in " + job);
        return Long.parseLong(m.group(1));
    }
}

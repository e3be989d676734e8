package rask.bench;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.FilterFunction;
import org.apache.flink.api.common.functions.FlatMapFunction;
import org.apache.flink.api.common.functions.RuntimeContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeHint;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.file.src.FileSource;
import org.apache.flink.connector.file.src.reader.TextLineInputFormat;
import org.apache.flink.core.fs.Path;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.sink.RichSinkFunction;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;
import org.apache.flink.util.Collector;

/** The jobs of bench/jobs in Flink's DataStream API. Each ends in a sink that reads every cell into a checksum. */
public final class Jobs {
    private Jobs() {}

    /** The accumulators of bench/jobs/checksum_sink.h. */
    static void tell(RuntimeContext context, long rows, long sum) {
        context.getLongCounter("rows").add(rows);
        context.getLongCounter("checksum_low").add(sum & 0xffffffffL);
        context.getLongCounter("checksum_high").add(sum >>> 32);
    }

    /** Adds up a checksum of each record. */
    abstract static class Adder<T> extends RichSinkFunction<T> {
        private transient long rows, sum;

        abstract long check(T record);

        @Override
        public void open(Configuration unused) {
            rows = sum = 0;
        }

        @Override
        public void invoke(T record, Context context) {
            rows++;
            sum += check(record);
        }

        @Override
        public void close() {
            tell(getRuntimeContext(), rows, sum);
        }
    }

    // ---- Nexmark: the bids, and of these the columns that the query reads ----

    /** A POJO by Flink's rules: its serializer is the fastest that it derives. */
    public static final class Bid {
        public long auction, bidder, price, at;
        public String extra;
    }

    private static final class Bids implements Parts.Maker<Bid> {
        private final long events;
        private final boolean prices, reuse;
        private long first, end, block, splits;
        private transient String pool;
        private transient Bid reused;

        Bids(long events, boolean prices, boolean reuse) {
            this.events = events;
            this.prices = prices;
            this.reuse = reuse;
        }

        @Override
        public void open(int number, int parts) {
            long blocks = events / Nexmark.BLOCK;
            first = block = blocks * number / parts;
            end = blocks * (number + 1) / parts;
            splits = parts;
            pool = new String(Nexmark.POOL_BYTES, StandardCharsets.ISO_8859_1);
            reused = new Bid();
        }

        @Override
        public boolean make(ReaderOutput<Bid> out) {
            if (block == end)
                return false;
            for (long e = block * Nexmark.BLOCK + Nexmark.FIRST_BID; e < (block + 1) * Nexmark.BLOCK; e++) {
                Bid b = reuse ? reused : new Bid();
                long seed = Nexmark.seed(e);
                b.auction = Nexmark.bidAuction(block, Nexmark.draw(seed, Nexmark.DRAW_AUCTION));
                b.price = Nexmark.price(Nexmark.draw(seed, Nexmark.DRAW_PRICE));
                if (!prices) {
                    long extra = Nexmark.extra(Nexmark.draw(seed, Nexmark.DRAW_EXTRA), 32, 100);
                    int at = (int) (extra >>> 32);
                    b.bidder = Nexmark.bidBidder(block, Nexmark.draw(seed, Nexmark.DRAW_BIDDER));
                    b.at = Nexmark.time(e - first * Nexmark.BLOCK, splits);
                    b.extra = pool.substring(at, at + (int) extra);
                }
                out.collect(b);
            }
            block++;
            return true;
        }
    }

    private static final class BidAdder extends Adder<Bid> {
        @Override
        long check(Bid b) {
            byte[] extra = b.extra.getBytes(StandardCharsets.ISO_8859_1);
            return Nexmark.check(b.auction, b.bidder, b.price, b.at) + Nexmark.checkText(extra, 0, extra.length);
        }
    }

    private static final class PriceAdder extends Adder<Bid> {
        @Override
        long check(Bid b) {
            return Nexmark.check(b.auction, 0, b.price, 0);
        }
    }

    static void nexmark(StreamExecutionEnvironment env, String query, long events, boolean reuse) {
        boolean q2 = query.equals("q2");
        DataStream<Bid> bids = env.fromSource(new Parts<>(new Bids(events, q2, reuse)), WatermarkStrategy.noWatermarks(), "bids",
                TypeInformation.of(Bid.class));
        if (q2)
            bids.filter((FilterFunction<Bid>) b -> b.auction % 123 == 0).addSink(new PriceAdder());
        else if (query.equals("q1"))
            bids.map(b -> {
                b.price *= 908; // a decimal of three places
                return b;
            }).returns(Bid.class).addSink(new BidAdder());
        else
            bids.addSink(new BidAdder());
    }

    // ---- rows of four BIGINT, bench/rows.h ----

    private static final class Rows implements Parts.Maker<Tuple4<Long, Long, Long, Long>> {
        private static final long GOLDEN = 0x9e3779b97f4a7c15L;
        private final long all, keys;
        private final boolean reuse;
        private long rows, next, number, parts;
        private transient Tuple4<Long, Long, Long, Long> reused;

        Rows(long all, long keys, boolean reuse) {
            this.all = all;
            this.keys = keys;
            this.reuse = reuse;
        }

        @Override
        public void open(int number, int parts) {
            rows = all / parts + (number < all % parts ? 1 : 0);
            this.number = number;
            this.parts = parts;
            reused = new Tuple4<>();
        }

        void set(Tuple4<Long, Long, Long, Long> t, long i) {
            long x = 42 + number + (i + 1) * GOLDEN;
            if (keys == 0) {
                t.setFields(x ^ x >>> 29, x, i, x ^ i);
            } else {
                long z = Nexmark.mix(x);
                t.setFields(((z >>> 32) * (keys / parts) >>> 32) * parts + number, z & 0xffff, i, z);
            }
        }

        @Override
        public boolean make(ReaderOutput<Tuple4<Long, Long, Long, Long>> out) {
            long until = Math.min(rows, next + 64);
            for (; next < until; next++) {
                Tuple4<Long, Long, Long, Long> t = reuse ? reused : new Tuple4<>();
                set(t, next);
                out.collect(t);
            }
            return next < rows;
        }
    }

    private static final class RowAdder extends Adder<Tuple4<Long, Long, Long, Long>> {
        @Override
        long check(Tuple4<Long, Long, Long, Long> t) {
            return Nexmark.check(t.f0, t.f1, t.f2, t.f3);
        }
    }

    static void rows(StreamExecutionEnvironment env, String way, long rows, long keys, boolean reuse) {
        DataStream<Tuple4<Long, Long, Long, Long>> in = env.fromSource(new Parts<>(new Rows(rows, keys, reuse)),
                WatermarkStrategy.noWatermarks(), "rows", new TypeHint<Tuple4<Long, Long, Long, Long>>() {}.getTypeInfo());
        if (way.equals("sum"))
            in.keyBy(t -> t.f0).sum(1).addSink(new RowAdder());
        else
            in.keyBy(t -> t.f0).addSink(new RowAdder());
    }

    // ---- a sum and a text for each key, bench/jobs/state.c --fill --text: read, changed, written ----

    private static final class FilledRows implements Parts.Maker<Tuple2<Long, Long>> {
        private final Rows rows;
        private final boolean reuse;
        private long filled, next, number, parts;
        private transient Tuple4<Long, Long, Long, Long> row;
        private transient Tuple2<Long, Long> reused;

        FilledRows(long all, long keys, boolean reuse) {
            rows = new Rows(all, keys, true);
            this.reuse = reuse;
        }

        @Override
        public void open(int number, int parts) {
            rows.open(number, parts);
            row = new Tuple4<>();
            reused = new Tuple2<>();
            filled = rows.keys / parts;
            this.number = number;
            this.parts = parts;
        }

        @Override
        public boolean make(ReaderOutput<Tuple2<Long, Long>> out) {
            for (long until = Math.min(filled + rows.rows, next + 64); next < until; next++) {
                Tuple2<Long, Long> t = reuse ? reused : new Tuple2<>();
                if (next < filled) {
                    t.setFields(next * parts + number, 1L);
                } else {
                    rows.set(row, next - filled);
                    t.setFields(row.f0, row.f1);
                }
                out.collect(t);
            }
            return next < filled + rows.rows;
        }
    }

    private static final class AddText extends KeyedProcessFunction<Long, Tuple2<Long, Long>, Tuple2<Long, Long>> {
        private final int letters;
        private long rows, rowsWhenFull, fullAt; // full: when the last new key has come
        private transient ValueState<Tuple2<Long, byte[]>> state;

        AddText(int letters) {
            this.letters = letters;
        }

        @Override
        public void open(Configuration unused) {
            state = getRuntimeContext().getState(
                    new ValueStateDescriptor<>("sum", new TypeHint<Tuple2<Long, byte[]>>() {}.getTypeInfo()));
        }

        private byte[] draw(long key) {
            ByteBuffer text = ByteBuffer.allocate((letters + 7) & -8).order(ByteOrder.LITTLE_ENDIAN);
            for (int i = 0; i < letters; i += 8)
                text.putLong((Nexmark.mix(key + (i + 1) * Rows.GOLDEN) & 0x1f1f1f1f1f1f1f1fL) + 0x4141414141414141L);
            return Arrays.copyOf(text.array(), letters);
        }

        @Override
        public void processElement(Tuple2<Long, Long> in, Context context, Collector<Tuple2<Long, Long>> out) throws Exception {
            Tuple2<Long, byte[]> value = state.value();
            rows++;
            if (value == null) {
                value = new Tuple2<>(0L, draw(in.f0));
                rowsWhenFull = rows;
                fullAt = System.nanoTime();
            }
            value.f0 += in.f1;
            state.update(value);
            out.collect(new Tuple2<>(in.f0, value.f0));
        }

        /** Rows a second beyond the fill: those of both subtasks are added. */
        @Override
        public void close() {
            if (fullAt != 0)
                getRuntimeContext().getDoubleCounter("beyond").add((rows - rowsWhenFull) * 1e9 / (System.nanoTime() - fullAt));
        }
    }

    private static final class PairAdder extends Adder<Tuple2<Long, Long>> {
        @Override
        long check(Tuple2<Long, Long> t) {
            return Nexmark.check(t.f0, t.f1, 0, 0);
        }
    }

    static void state(StreamExecutionEnvironment env, long rows, long keys, int letters, boolean reuse) {
        env.fromSource(new Parts<>(new FilledRows(rows, keys, reuse)), WatermarkStrategy.noWatermarks(), "rows",
                        new TypeHint<Tuple2<Long, Long>>() {}.getTypeInfo())
                .keyBy(t -> t.f0).process(new AddText(letters)).addSink(new PairAdder());
    }

    // ---- word count ----

    private static boolean ofWord(char c) {
        return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c >= 'A' && c <= 'Z';
    }

    /** Words of [A-Za-z0-9_], lower-cased, without the regular expression of Flink's own example: that is slower. */
    private static final class Split implements FlatMapFunction<String, Tuple2<String, Long>> {
        @Override
        public void flatMap(String line, Collector<Tuple2<String, Long>> out) {
            String text = line.toLowerCase(java.util.Locale.ROOT);
            int n = text.length(), start = -1;
            for (int i = 0; i <= n; i++) {
                if (i < n && ofWord(text.charAt(i))) {
                    start = start < 0 ? i : start;
                } else if (start >= 0) {
                    out.collect(new Tuple2<>(text.substring(start, i), 1L));
                    start = -1;
                }
            }
        }
    }

    /** Updates by bench/checksum.h. */
    private static class WordAdder extends Adder<Tuple2<String, Long>> {
        private static long mix(long x) {
            x *= 0x9e3779b97f4a7c15L;
            return x ^ x >>> 32;
        }

        private static long part(byte[] b, int from, int bytes) {
            long part = 0;
            for (int i = bytes - 1; i >= 0; i--)
                part = part << 8 | b[from + i] & 255;
            return part;
        }

        @Override
        long check(Tuple2<String, Long> update) {
            byte[] b = update.f0.getBytes(StandardCharsets.ISO_8859_1);
            long h = b.length;
            int at = 0, left = b.length;
            for (; left >= 8; at += 8, left -= 8)
                h = mix(h ^ (long) Nexmark.WORD.get(b, at));
            if (left >= 4) {
                h = mix(h ^ (part(b, at, 4) | part(b, at + left - 4, 4) << 32));
            } else {
                if (left > 0)
                    h ^= b[at] & 255 | (b[at + left / 2] & 255L) << 8 | (b[at + left - 1] & 255L) << 16;
                h = mix(h);
            }
            return mix(h ^ update.f1) >>> 32;
        }
    }

    /** Of a changelog: what its last rows give, and how many words they count. */
    private static final class LastAdder extends RichSinkFunction<Row> {
        private final WordAdder words = new WordAdder();
        private transient long rows, sum;

        @Override
        public void invoke(Row row, Context context) {
            long count = (Long) row.getField(1), check = words.check(new Tuple2<>((String) row.getField(0), count));
            boolean is = row.getKind() == RowKind.INSERT || row.getKind() == RowKind.UPDATE_AFTER;
            rows += is ? count : -count;
            sum += is ? check : -check;
        }

        @Override
        public void close() {
            tell(getRuntimeContext(), rows, sum);
        }
    }

    private static DataStream<Tuple2<String, Long>> words(StreamExecutionEnvironment env, String file) {
        FileSource<String> lines = FileSource.forRecordStreamFormat(new TextLineInputFormat(), new Path(file)).build();
        return env.fromSource(lines, WatermarkStrategy.noWatermarks(), "lines").flatMap(new Split())
                .returns(Types.TUPLE(Types.STRING, Types.LONG));
    }

    static void wordCount(StreamExecutionEnvironment env, String file) {
        words(env, file).keyBy(t -> t.f0).sum(1).addSink(new WordAdder());
    }

    /** Updates merged: a query with mini-batches and two phases. */
    static void mergedWordCount(StreamExecutionEnvironment env, String file) {
        StreamTableEnvironment t = StreamTableEnvironment.create(env);
        t.getConfig().set("table.exec.mini-batch.enabled", "true");
        t.getConfig().set("table.exec.mini-batch.allow-latency", "100 ms");
        t.getConfig().set("table.exec.mini-batch.size", "1000000");
        t.getConfig().set("table.optimizer.agg-phase-strategy", "TWO_PHASE");
        t.createTemporaryView("words", words(env, file));
        t.toChangelogStream(t.sqlQuery("SELECT f0, SUM(f1) FROM words GROUP BY f0")).addSink(new LastAdder());
    }
}

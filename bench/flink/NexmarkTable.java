package rask.bench;

import java.util.Set;
import org.apache.flink.api.common.accumulators.LongCounter;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.functions.sink.RichSinkFunction;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.connector.sink.SinkFunctionProvider;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.connector.source.ScanTableSource;
import org.apache.flink.table.connector.source.SourceProvider;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.data.binary.BinaryStringData;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.factories.DynamicTableSinkFactory;
import org.apache.flink.table.factories.DynamicTableSourceFactory;
import org.apache.flink.table.factories.FactoryUtil;

/** Nexmark as its own runner does it: one wide table of events, SQL, and a sink that reads every cell into a checksum. */
public final class NexmarkTable {
    static final String EVENTS = "CREATE TEMPORARY TABLE events (event_type INT,"
            + " person ROW<id BIGINT, name STRING, email STRING, card STRING, city STRING, state STRING, `at` TIMESTAMP(3),"
            + " extra STRING>,"
            + " auction ROW<id BIGINT, item STRING, description STRING, initial_bid BIGINT, reserve BIGINT, `at` TIMESTAMP(3),"
            + " expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra STRING>,"
            + " bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, `at` TIMESTAMP(3), extra STRING>,"
            + " `at` AS CASE WHEN event_type = 0 THEN person.`at` WHEN event_type = 1 THEN auction.`at` ELSE bid.`at` END,"
            + " WATERMARK FOR `at` AS `at` - INTERVAL '4' SECOND) WITH ('connector' = 'rask-nexmark', 'events' = '%d')";
    static final String BIDS = "CREATE TEMPORARY VIEW bids AS SELECT bid.auction, bid.bidder, bid.price, bid.channel, bid.url, `at`,"
            + " bid.extra FROM events WHERE event_type = 2";

    /** {schema of the sink, query} of q0, q1, q2. */
    static String[] query(String name) {
        return switch (name) {
            case "q0" -> new String[] {"auction BIGINT, bidder BIGINT, price BIGINT, `at` TIMESTAMP(3), extra STRING",
                "SELECT auction, bidder, price, `at`, extra FROM bids"};
            case "q1" -> new String[] {"auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), `at` TIMESTAMP(3), extra STRING",
                "SELECT auction, bidder, 0.908 * price, `at`, extra FROM bids"};
            case "q2" -> new String[] {"auction BIGINT, price BIGINT", "SELECT auction, price FROM bids WHERE MOD(auction, 123) = 0"};
            default -> throw new IllegalArgumentException("no query " + name);
        };
    }

    private NexmarkTable() {}

    public static final class Events implements DynamicTableSourceFactory {
        static final ConfigOption<Long> EVENTS = ConfigOptions.key("events").longType().noDefaultValue();

        @Override
        public String factoryIdentifier() {
            return "rask-nexmark";
        }

        @Override
        public Set<ConfigOption<?>> requiredOptions() {
            return Set.of(EVENTS);
        }

        @Override
        public Set<ConfigOption<?>> optionalOptions() {
            return Set.of();
        }

        @Override
        public DynamicTableSource createDynamicTableSource(DynamicTableFactory.Context context) {
            return new Source(FactoryUtil.createTableFactoryHelper(this, context).getOptions().get(EVENTS));
        }
    }

    private record Source(long events) implements ScanTableSource {
        @Override
        public ChangelogMode getChangelogMode() {
            return ChangelogMode.insertOnly();
        }

        @Override
        public ScanRuntimeProvider getScanRuntimeProvider(ScanContext context) {
            return SourceProvider.of(new Parts<>(new Maker(events)));
        }

        @Override
        public DynamicTableSource copy() {
            return new Source(events);
        }

        @Override
        public String asSummaryString() {
            return "rask-nexmark";
        }
    }

    /** All columns of all events. Strings of tables are made once and shared; others point into bytes that are not copied. */
    private static final class Maker implements Parts.Maker<RowData> {
        private final long events;
        private long first, end, block, splits;
        private transient StringData[] channels, urls, hotChannels, hotUrls, cities, states;
        private transient Nexmark.Text text;
        private transient int[] ends;

        Maker(long events) {
            this.events = events;
        }

        @Override
        public void open(int number, int parts) {
            long blocks = events / Nexmark.BLOCK;
            first = block = blocks * number / parts;
            end = blocks * (number + 1) / parts;
            splits = parts;
            channels = strings(Nexmark.CHANNEL);
            urls = strings(Nexmark.URL);
            hotChannels = strings(Nexmark.HOT_CHANNEL);
            hotUrls = strings(Nexmark.HOT_URL);
            cities = strings(Nexmark.CITY);
            states = strings(Nexmark.STATE);
            text = new Nexmark.Text();
            ends = new int[3];
        }

        private static StringData[] strings(byte[][] all) {
            StringData[] made = new StringData[all.length];
            for (int i = 0; i < all.length; i++)
                made[i] = StringData.fromBytes(all[i]);
            return made;
        }

        @Override
        public boolean make(ReaderOutput<RowData> out) {
            if (block == end)
                return false;
            for (long e = block * Nexmark.BLOCK; e < (block + 1) * Nexmark.BLOCK; e++) {
                long k = e - first * Nexmark.BLOCK;
                int place = (int) (e % Nexmark.BLOCK);
                GenericRowData row = new GenericRowData(4);
                row.setField(0, place == 0 ? 0 : place < Nexmark.FIRST_BID ? 1 : 2);
                row.setField(place == 0 ? 1 : place < Nexmark.FIRST_BID ? 2 : 3,
                        place == 0 ? person(e, k) : place < Nexmark.FIRST_BID ? auction(e, k) : bid(e, k));
                out.collect(row);
            }
            block++;
            return true;
        }

        private static StringData extra(long extra) {
            return StringData.fromBytes(Nexmark.POOL_BYTES, (int) (extra >>> 32), (int) extra);
        }

        private RowData bid(long e, long k) {
            long seed = Nexmark.seed(e), draw = Nexmark.draw(seed, Nexmark.DRAW_CHANNEL);
            int hot = (int) Nexmark.low(draw, Nexmark.HOT_CHANNELS), channel = (int) Nexmark.low(draw, Nexmark.CHANNELS);
            return GenericRowData.of(Nexmark.bidAuction(block, Nexmark.draw(seed, Nexmark.DRAW_AUCTION)),
                    Nexmark.bidBidder(block, Nexmark.draw(seed, Nexmark.DRAW_BIDDER)),
                    Nexmark.price(Nexmark.draw(seed, Nexmark.DRAW_PRICE)), draw < 0 ? hotChannels[hot] : channels[channel],
                    draw < 0 ? hotUrls[hot] : urls[channel], TimestampData.fromEpochMillis(Nexmark.time(k, splits)),
                    extra(Nexmark.extra(Nexmark.draw(seed, Nexmark.DRAW_EXTRA), 32, 100)));
        }

        private RowData auction(long e, long k) {
            Nexmark.Auction a = new Nexmark.Auction(e, k, splits, text);
            byte[] strings = text.copy(0, text.used);
            return GenericRowData.of(a.id, StringData.fromBytes(strings, 0, a.item),
                    StringData.fromBytes(strings, a.item, a.description), a.initialBid, a.reserve,
                    TimestampData.fromEpochMillis(a.at), TimestampData.fromEpochMillis(a.expires), a.seller, a.category,
                    extra(a.extra));
        }

        private RowData person(long e, long k) {
            long seed = Nexmark.seed(e), place = Nexmark.draw(seed, 1);
            int city = (int) Nexmark.high(place, 10), state = (int) Nexmark.low(place, 6);
            Nexmark.person(seed, text, ends);
            byte[] strings = text.copy(0, text.used);
            return GenericRowData.of(block + Nexmark.FIRST_ID, StringData.fromBytes(strings, 0, ends[0]),
                    StringData.fromBytes(strings, ends[0], ends[1] - ends[0]), StringData.fromBytes(strings, ends[1], 19),
                    cities[city], states[state], TimestampData.fromEpochMillis(Nexmark.time(k, splits)),
                    extra(Nexmark.personExtra(seed, ends, Nexmark.CITY[city])));
        }
    }

    public static final class Checksum implements DynamicTableSinkFactory {
        @Override
        public String factoryIdentifier() {
            return "rask-checksum";
        }

        @Override
        public Set<ConfigOption<?>> requiredOptions() {
            return Set.of();
        }

        @Override
        public Set<ConfigOption<?>> optionalOptions() {
            return Set.of();
        }

        @Override
        public DynamicTableSink createDynamicTableSink(DynamicTableFactory.Context context) {
            int columns = context.getCatalogTable().getResolvedSchema().getColumnCount();
            boolean decimal = context.getCatalogTable().getResolvedSchema().getColumnDataTypes().toString().contains("DECIMAL");
            return new Sink(columns == 2, decimal);
        }
    }

    private record Sink(boolean prices, boolean decimal) implements DynamicTableSink {
        @Override
        public ChangelogMode getChangelogMode(ChangelogMode requested) {
            return ChangelogMode.insertOnly();
        }

        @Override
        public SinkRuntimeProvider getSinkRuntimeProvider(Context context) {
            return SinkFunctionProvider.of(new Adder(prices, decimal));
        }

        @Override
        public DynamicTableSink copy() {
            return new Sink(prices, decimal);
        }

        @Override
        public String asSummaryString() {
            return "rask-checksum";
        }
    }

    private static final class Adder extends RichSinkFunction<RowData> {
        private final boolean prices, decimal;
        private transient long rows, sum;

        Adder(boolean prices, boolean decimal) {
            this.prices = prices;
            this.decimal = decimal;
        }

        @Override
        public void open(Configuration unused) {
            rows = sum = 0;
        }

        @Override
        public void invoke(RowData row, Context context) {
            rows++;
            if (prices) {
                sum += Nexmark.check(row.getLong(0), 0, row.getLong(1), 0);
                return;
            }
            long price = decimal ? row.getDecimal(2, 23, 3).toBigDecimal().unscaledValue().longValue() : row.getLong(2);
            sum += Nexmark.check(row.getLong(0), row.getLong(1), price, row.getTimestamp(3, 3).getMillisecond())
                    + check((BinaryStringData) row.getString(4));
        }

        private static long check(BinaryStringData text) {
            if (text.getSegments() != null && text.getSegments().length == 1 && text.getSegments()[0].getArray() != null)
                return Nexmark.checkText(text.getSegments()[0].getArray(), text.getOffset(), text.getSizeInBytes());
            byte[] bytes = text.toBytes();
            return Nexmark.checkText(bytes, 0, bytes.length);
        }

        @Override
        public void close() {
            Jobs.tell(getRuntimeContext(), rows, sum);
        }
    }
}

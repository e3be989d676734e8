package rask.bench;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** The events of bench/nexmark.h, to the byte: see there for what they are. Tables are static; an instance is for one thread. */
public final class Nexmark {
    public static final int BLOCK = 50, FIRST_BID = 4, POOL = 1 << 20, CHANNELS = 10000, HOT_CHANNELS = 4;
    public static final int DRAW_AUCTION = 0, DRAW_BIDDER = 1, DRAW_PRICE = 2, DRAW_CHANNEL = 3, DRAW_EXTRA = 4;
    static final long GOLDEN = 0x9e3779b97f4a7c15L, SEED = 42, BASE = 1767225600000L, LOG = 2675169849L;
    static final int LOG_STEPS = 1024, FIRST_ID = 1000, HOT = 100, PEOPLE = 1000, STRING_DRAWS = 32;

    static final byte[] POOL_BYTES = new byte[POOL];
    static final long[] POWERS = new long[LOG_STEPS + 1];
    static final byte[][] CHANNEL = new byte[CHANNELS][], URL = new byte[CHANNELS][];
    static final byte[][] HOT_CHANNEL = new byte[HOT_CHANNELS][], HOT_URL = new byte[HOT_CHANNELS][];
    static final byte[][] FIRST = bytes("Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter");
    static final byte[][] LAST = bytes("Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris");
    static final byte[][] CITY = bytes("Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle",
            "Kent", "Cheyenne");
    static final byte[][] STATE = bytes("AZ", "CA", "ID", "OR", "WA", "WY");

    static byte[][] bytes(String... texts) {
        byte[][] all = new byte[texts.length][];
        for (int i = 0; i < texts.length; i++)
            all[i] = texts[i].getBytes(StandardCharsets.ISO_8859_1);
        return all;
    }

    static {
        double power = 1, step = 2;
        Text text = new Text();
        for (int i = 0; i < POOL; i++) {
            long draw = draw(SEED, i);
            int letter = (int) low(draw, 26);
            POOL_BYTES[i] = (byte) (draw < 0 ? 'a' - letter : 'a' + letter);
        }
        for (int i = 0; i < 10; i++)
            step = Math.sqrt(step);
        for (int i = 0; i <= LOG_STEPS; i++, power *= step)
            POWERS[i] = (long) (power * 2147483648.0);
        for (int i = 0; i < CHANNELS; i++) {
            long seed = mix(SEED + i);
            CHANNEL[i] = ("channel-" + i).getBytes(StandardCharsets.ISO_8859_1);
            text.clear();
            url(seed, text);
            if (low(draw(seed, 0), 10) > 0)
                text.add(("&channel_id=" + Math.abs(Integer.reverse(i))).getBytes(StandardCharsets.ISO_8859_1));
            URL[i] = text.copy(0, text.used);
        }
        byte[][] hot = bytes("Google", "Facebook", "Baidu", "Apple");
        for (int i = 0; i < HOT_CHANNELS; i++) {
            HOT_CHANNEL[i] = hot[i];
            text.clear();
            url(mix(SEED + CHANNELS + i), text);
            HOT_URL[i] = text.copy(0, text.used);
        }
    }

    /** Bytes that strings are written to, one after the other. */
    public static final class Text {
        byte[] data = new byte[1024];
        int used;

        void clear() {
            used = 0;
        }

        void add(byte[] more) {
            System.arraycopy(more, 0, data, used, more.length);
            used += more.length;
        }

        byte[] copy(int from, int to) {
            return java.util.Arrays.copyOfRange(data, from, to);
        }
    }

    public static long mix(long z) {
        z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
        z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
        return z ^ z >>> 31;
    }

    public static long seed(long event) {
        return mix(event * GOLDEN + SEED);
    }

    public static long draw(long seed, long k) {
        return mix(seed + (k + 1) * GOLDEN);
    }

    static long low(long draw, long n) {
        return (draw & 0xffffffffL) * n >>> 32;
    }

    static long high(long draw, long n) {
        return (draw >>> 32) * n >>> 32;
    }

    public static long time(long k, long splits) {
        return BASE + k * splits / 100;
    }

    public static long price(long draw) {
        long x = (draw >>> 32) * LOG >>> 27;
        long part = x & 0xffffffffL;
        int step = (int) (part >>> 22);
        long low = POWERS[step], power = low + ((POWERS[step + 1] - low) * (part & 0x3fffffL) >>> 22);
        return (100 * power << (x >>> 32)) + (1L << 30) >>> 31;
    }

    static long someone(long block, long draw) {
        long people = block + 1, active = Math.min(people, PEOPLE);
        return people - active + low(draw, active + 10) + FIRST_ID;
    }

    public static long bidAuction(long block, long draw) {
        long last = block * 3 + 2, least = last < 100 ? 0 : last - 100;
        return (draw < 0 ? last / HOT * HOT : least + low(draw, last - least + 11)) + FIRST_ID;
    }

    public static long bidBidder(long block, long draw) {
        return (draw >>> 62 != 0 ? block / HOT * HOT + 1 + FIRST_ID : someone(block, draw)) + FIRST_ID;
    }

    /** Length of the extra text, in the high half its offset in the pool. */
    public static long extra(long draw, long counted, long average) {
        long target = average - counted, delta = (2 * target + 5) / 10;
        if (target <= 0)
            return 0;
        long len = target - delta + high(draw, 2 * delta);
        return low(draw, POOL - len) << 32 | len;
    }

    static int string(long seed, long first, int max, char special, Text to) {
        long draw = draw(seed, first);
        int len = 3 + (int) high(draw, max - 3);
        for (int i = 0; i < len; i++) {
            int b = (int) (draw & 255);
            draw >>>= 8;
            if (i % 4 == 3)
                draw = draw(seed, ++first);
            to.data[to.used++] = (byte) (b % 13 == 0 ? special : 'a' + (b * 26 >> 8));
        }
        return len;
    }

    static void url(long seed, Text to) {
        to.add("https://www.nexmark.com/".getBytes(StandardCharsets.ISO_8859_1));
        for (int i = 0; i < 3; i++) {
            string(seed, 1 + (long) i * STRING_DRAWS, 5, '_', to);
            to.data[to.used++] = '/';
        }
        to.add("item.htm?query=1".getBytes(StandardCharsets.ISO_8859_1));
    }

    static void digits(long n, Text to) {
        to.data[to.used + 3] = (byte) ('0' + n % 10);
        to.data[to.used + 2] = (byte) ('0' + n / 10 % 10);
        to.data[to.used + 1] = (byte) ('0' + n / 100 % 10);
        to.data[to.used] = (byte) ('0' + n / 1000);
        to.used += 4;
    }

    /** The strings of a person: name, email, card, from 0 to ends[0], ends[1], ends[2] of to. */
    static void person(long seed, Text to, int[] ends) {
        long names = draw(seed, 0), card0 = draw(seed, 2), card1 = draw(seed, 3);
        to.clear();
        to.add(FIRST[(int) high(names, 11)]);
        to.data[to.used++] = ' ';
        to.add(LAST[(int) low(names, 9)]);
        ends[0] = to.used;
        string(seed, 5, 7, '_', to);
        to.data[to.used++] = '@';
        string(seed, 5 + STRING_DRAWS, 5, '_', to);
        to.add(new byte[] {'.', 'c', 'o', 'm'});
        ends[1] = to.used;
        digits(high(card0, 10000), to);
        to.data[to.used++] = ' ';
        digits(low(card0, 10000), to);
        to.data[to.used++] = ' ';
        digits(high(card1, 10000), to);
        to.data[to.used++] = ' ';
        digits(low(card1, 10000), to);
        ends[2] = to.used;
    }

    // ---- checksums ----

    static final VarHandle WORD = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

    public static long checkText(byte[] data, int from, int len) {
        long h = len, tail = 0;
        int at = 0;
        for (; at + 8 <= len; at += 8)
            h = Long.rotateLeft(h, 9) ^ (long) WORD.get(data, from + at);
        if (len >= 8)
            tail = (long) WORD.get(data, from + len - 8);
        else
            for (; at < len; at++)
                tail = tail << 8 | data[from + at] & 255;
        return (Long.rotateLeft(h, 9) ^ tail) * GOLDEN;
    }

    public static long check(long a, long b, long c, long d) {
        return a ^ Long.rotateLeft(b, 9) ^ Long.rotateLeft(c, 23) ^ Long.rotateLeft(d, 41);
    }

    /** bench/c/nexmark --query events: all cells of all events, one thread. */
    static long checkEvents(long events, int splits) {
        long sum = 0, blocks = events / BLOCK;
        Text to = new Text();
        int[] ends = new int[3];
        for (int number = 0; number < splits; number++) {
            long first = blocks * number / splits, end = blocks * (number + 1) / splits;
            for (long e = first * BLOCK; e < end * BLOCK; e++) {
                long k = e - first * BLOCK, seed = seed(e), block = e / BLOCK, at = time(k, splits);
                if (e % BLOCK >= FIRST_BID) {
                    long draw = draw(seed, DRAW_CHANNEL), extra = extra(draw(seed, DRAW_EXTRA), 32, 100);
                    byte[] channel = draw < 0 ? HOT_CHANNEL[(int) low(draw, HOT_CHANNELS)] : CHANNEL[(int) low(draw, CHANNELS)];
                    byte[] url = draw < 0 ? HOT_URL[(int) low(draw, HOT_CHANNELS)] : URL[(int) low(draw, CHANNELS)];
                    sum += check(bidAuction(block, draw(seed, DRAW_AUCTION)), bidBidder(block, draw(seed, DRAW_BIDDER)),
                            price(draw(seed, DRAW_PRICE)), at) + checkText(channel, 0, channel.length)
                            + (checkText(url, 0, url.length) ^ checkText(POOL_BYTES, (int) (extra >>> 32), (int) extra));
                } else if (e % BLOCK > 0) {
                    Auction a = new Auction(e, k, splits, to);
                    sum += check(a.id, a.initialBid, a.reserve, a.at) + check(a.expires, a.seller, a.category, 0)
                            + (checkText(to.data, 0, a.item) ^ checkText(POOL_BYTES, (int) (a.extra >>> 32), (int) a.extra))
                            + checkText(to.data, a.item, a.description);
                } else {
                    long place = draw(seed, 1);
                    byte[] city = CITY[(int) high(place, 10)], state = STATE[(int) low(place, 6)];
                    person(seed, to, ends);
                    long extra = personExtra(seed, ends, city);
                    sum += check(block + FIRST_ID, at, 0, 0) + checkText(to.data, 0, ends[0])
                            + (checkText(to.data, ends[0], ends[1] - ends[0]) ^ checkText(to.data, ends[1], 19))
                            + (checkText(city, 0, city.length) ^ checkText(state, 0, state.length))
                            + checkText(POOL_BYTES, (int) (extra >>> 32), (int) extra);
                }
            }
        }
        return sum;
    }

    static long personExtra(long seed, int[] ends, byte[] city) {
        return extra(draw(seed, 4), 16 + ends[0] + (ends[1] - ends[0]) + 19 + city.length + 2, 200);
    }

    /** The numbers of an auction; item and description are lengths of strings at the begin of the text. */
    static final class Auction {
        final long id, initialBid, reserve, at, expires, seller, category, extra;
        final int item, description;

        Auction(long event, long k, long splits, Text to) {
            long seed = seed(event), block = event / BLOCK, life = draw(seed, 2), who = draw(seed, 3), span = 1667 * splits / 100;
            id = block * 3 + event % BLOCK - 1 + FIRST_ID;
            initialBid = price(draw(seed, 0));
            reserve = initialBid + price(draw(seed, 1));
            at = time(k, splits);
            expires = at + 1 + low(life, span < 1 ? 2 : 2 * span);
            seller = who >>> 62 != 0 ? block / HOT * HOT + FIRST_ID : someone(block, who);
            category = 10 + high(life, 5);
            to.clear();
            item = string(seed, 5, 20, ' ', to);
            description = string(seed, 5 + STRING_DRAWS, 100, ' ', to);
            extra = extra(draw(seed, 4), 56 + item + description, 500);
        }
    }

    public static void main(String[] args) {
        long events = Long.parseLong(args[0]);
        long begin = System.nanoTime(), sum = checkEvents(events, 2);
        System.out.printf("rows=%d checksum=%s seconds=%.3f%n", events, Long.toUnsignedString(sum), (System.nanoTime() - begin) / 1e9);
    }
}

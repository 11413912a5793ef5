/* SPDX-License-Identifier: MIT */
#include "http/date.h"

#include <errno.h>

/*
 * Dates without the C library's time functions: those take locales, time zones and locks into
 * account. Days are counted by the proleptic Gregorian calendar, with years that begin in March, so
 * that the day that a leap year adds is the last of the year.
 */

enum { DAYS_TO_1970 = 719468, DAYS_IN_400_YEARS = 146097, SEC_PER_DAY = 86400 };

#define YEAR_10000_SEC UINT64_C(253402300800)

static const char day_names[] = "SunMonTueWedThuFriSat";
static const char *const long_day_names[] = {
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
};
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct date {
        unsigned year, month, day; /* month and day from 1 */
        unsigned hour, minute, second;
};

static struct date date_of_days(uint64_t days) {
        uint64_t shifted = days + DAYS_TO_1970, era = shifted / DAYS_IN_400_YEARS;
        unsigned day = (unsigned)(shifted % DAYS_IN_400_YEARS);
        unsigned year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
        unsigned in_year = day - (365 * year + year / 4 - year / 100);
        unsigned month = (5 * in_year + 2) / 153; /* from March, 0 */

        return (struct date){
                .year = (unsigned)(era * 400) + year + (month >= 10),
                .month = month < 10 ? month + 3 : month - 9,
                .day = in_year - (153 * month + 2) / 5 + 1,
        };
}

/* Days since 1970, which may be before it. */
static int64_t days_of_date(const struct date *d) {
        unsigned month = d->month > 2 ? d->month - 3 : d->month + 9;
        unsigned year = d->year - (d->month <= 2); /* years begin at 1: never below 0 */
        unsigned in_era = year % 400;
        unsigned in_year = (153 * month + 2) / 5 + d->day - 1;

        return (int64_t)(year / 400) * DAYS_IN_400_YEARS +
               (in_era * 365 + in_era / 4 - in_era / 100 + in_year) - DAYS_TO_1970;
}

static void put_digits(char *to, unsigned value, unsigned count) {
        while (count--) {
                to[count] = (char)('0' + value % 10);
                value /= 10;
        }
}

void http_date_format(uint64_t real_sec, char out[static HTTP_DATE_BYTES + 1]) {
        uint64_t shown_sec = MIN(real_sec, YEAR_10000_SEC - 1), days = shown_sec / SEC_PER_DAY;
        unsigned sec = (unsigned)(shown_sec % SEC_PER_DAY);
        struct date d;

        d = date_of_days(days);
        memcpy(out, "Sun, 06 Nov 1994 08:49:37 GMT", HTTP_DATE_BYTES + 1);
        memcpy(out, day_names + (days + 4) % 7 * 3, 3); /* 1970 began on a Thursday */
        put_digits(out + 5, d.day, 2);
        memcpy(out + 8, month_names + (size_t)(d.month - 1) * 3, 3);
        put_digits(out + 12, d.year, 4);
        put_digits(out + 17, sec / 3600, 2);
        put_digits(out + 20, sec / 60 % 60, 2);
        put_digits(out + 23, sec % 60, 2);
}

/* Each read_*() takes something off the front of `t`. */
static bool read_literal(struct text *t, struct text literal) {
        if (!text_starts_with(*t, literal))
                return false;
        t->data += literal.size;
        t->size -= literal.size;
        return true;
}

static bool read_number(struct text *t, unsigned count, unsigned *ret) {
        unsigned value = 0;

        if (t->size < count)
                return false;
        for (unsigned i = 0; i < count; i++) {
                if (!ascii_is_digit(t->data[i]))
                        return false;
                value = value * 10 + (unsigned)(t->data[i] - '0');
        }
        t->data += count;
        t->size -= count;
        *ret = value;
        return true;
}

static bool read_name(struct text *t, const char *names, unsigned *ret) {
        for (unsigned i = 0; names[i * 3]; i++)
                if (read_literal(t, (struct text){ names + i * 3, 3 })) {
                        *ret = i;
                        return true;
                }
        return false;
}

static bool read_month(struct text *t, struct date *d) {
        unsigned month;

        if (!read_name(t, month_names, &month))
                return false;
        d->month = month + 1;
        return true;
}

static bool read_time(struct text *t, struct date *d) {
        return read_number(t, 2, &d->hour) && read_literal(t, TEXT(":")) &&
               read_number(t, 2, &d->minute) && read_literal(t, TEXT(":")) &&
               read_number(t, 2, &d->second);
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool read_fixdate(struct text t, struct date *d) {
        unsigned weekday;

        return read_name(&t, day_names, &weekday) && read_literal(&t, TEXT(", ")) &&
               read_number(&t, 2, &d->day) && read_literal(&t, TEXT(" ")) && read_month(&t, d) &&
               read_literal(&t, TEXT(" ")) && read_number(&t, 4, &d->year) &&
               read_literal(&t, TEXT(" ")) && read_time(&t, d) && read_literal(&t, TEXT(" GMT")) &&
               !t.size;
}

/* Sun Nov  6 08:49:37 1994 */
static bool read_asctime(struct text t, struct date *d) {
        unsigned weekday;

        return read_name(&t, day_names, &weekday) && read_literal(&t, TEXT(" ")) &&
               read_month(&t, d) && read_literal(&t, TEXT(" ")) &&
               (read_literal(&t, TEXT(" ")) ? read_number(&t, 1, &d->day)
                                            : read_number(&t, 2, &d->day)) &&
               read_literal(&t, TEXT(" ")) && read_time(&t, d) && read_literal(&t, TEXT(" ")) &&
               read_number(&t, 4, &d->year) && !t.size;
}

static bool read_long_day(struct text *t) {
        for (size_t i = 0; i < ELEMENTS(long_day_names); i++)
                if (read_literal(t, text_of(long_day_names[i])))
                        return true;
        return false;
}

/* Sunday, 06-Nov-94 08:49:37 GMT; the year is that of the century, `d->year` is below 100. */
static bool read_rfc850(struct text t, struct date *d) {
        return read_long_day(&t) && read_literal(&t, TEXT(", ")) && read_number(&t, 2, &d->day) &&
               read_literal(&t, TEXT("-")) && read_month(&t, d) && read_literal(&t, TEXT("-")) &&
               read_number(&t, 2, &d->year) && read_literal(&t, TEXT(" ")) && read_time(&t, d) &&
               read_literal(&t, TEXT(" GMT")) && !t.size;
}

static bool date_is_valid(const struct date *d) {
        static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        bool is_leap = d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);
        unsigned most = days[d->month - 1] + (d->month == 2 && is_leap);

        /* 60: a leap second, which the grammar allows */
        return d->year >= 1970 && d->day >= 1 && d->day <= most && d->hour < 24 && d->minute < 60 &&
               d->second <= 60;
}

int http_date_parse(struct text t, uint64_t now_sec, uint64_t *ret_sec) {
        struct date d = {};

        if (!read_fixdate(t, &d) && !read_asctime(t, &d)) {
                unsigned this_year = date_of_days(now_sec / SEC_PER_DAY).year;

                if (!read_rfc850(t, &d))
                        return -EINVAL;
                /* what seems to lie more than 50 years ahead is past (RFC 9110, 5.6.7) */
                d.year += this_year / 100 * 100;
                if (d.year > this_year + 50)
                        d.year -= 100;
        }
        if (!date_is_valid(&d))
                return -EINVAL;
        *ret_sec =
                (uint64_t)days_of_date(&d) * SEC_PER_DAY + d.hour * 3600 + d.minute * 60 + d.second;
        return 0;
}

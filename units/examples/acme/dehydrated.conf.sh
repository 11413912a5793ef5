# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# dehydrated puts its answers where Challenge= of emberd looks for them, and hands certificates to
# emberd. Copy it to /etc/dehydrated/conf.d/emberd.sh.
WELLKNOWN=/var/lib/dehydrated/acme-challenges
HOOK=/usr/local/sbin/emberd-deploy-certificate

"""Requests of ioctl(2) that no session may make. The kernel looks at their low 32 bits alone."""

from __future__ import annotations

# asm-generic/ioctls.h: equal on x86-64 and aarch64
TIOCSTI, TIOCLINUX, TIOCCONS = 0x5412, 0x541C, 0x541D

KEYBOARD_REQUESTS: dict[str, int] = {
    "KDSKBENT": 0x4B47,
    "KDSKBSENT": 0x4B49,
    "KDSKBDIACR": 0x4B4B,
    "KDSETKEYCODE": 0x4B4D,
    "KDSKBDIACRUC": 0x4BFB,
}
"""ioctl(2) requests by which a key of a console types something else from then on (linux/kd.h)."""

USERFAULTFD_IOC_NEW = 0xAA00  # linux/userfaultfd.h

KEY_REQUESTS: dict[str, int] = {
    "FS_IOC_ADD_ENCRYPTION_KEY": 0xC050_6617,
    "FS_IOC_REMOVE_ENCRYPTION_KEY": 0xC040_6618,
    "FS_IOC_REMOVE_ENCRYPTION_KEY_ALL_USERS": 0xC040_6619,
}
"""ioctl(2) requests about the keys of encrypted directories, by any descriptor there (linux/fscrypt.h)."""

INODE_REQUESTS: dict[str, int] = {
    "FS_IOC_SETVERSION": 0x4008_7602,
    "FS_IOC32_SETVERSION": 0x4004_7602,
    "EXT4_IOC_SETVERSION": 0x4008_6604,
    "EXT4_IOC32_SETVERSION": 0x4004_6604,
    "FS_IOC_ENABLE_VERITY": 0x4080_6685,
    "FS_IOC_SET_ENCRYPTION_POLICY": 0x800C_6613,
    "EXT4_IOC_MIGRATE": 0x6609,
    "F2FS_IOC_SET_PIN_FILE": 0x4004_F50D,
    "FAT_IOCTL_SET_ATTRIBUTES": 0x4004_7211,
    "BTRFS_IOC_SNAP_CREATE": 0x5000_9401,
    "BTRFS_IOC_SUBVOL_CREATE": 0x5000_940E,
    "BTRFS_IOC_SNAP_DESTROY": 0x5000_940F,
    "BTRFS_IOC_SNAP_CREATE_V2": 0x5000_9417,
    "BTRFS_IOC_SUBVOL_CREATE_V2": 0x5000_9418,
    "BTRFS_IOC_SUBVOL_SETFLAGS": 0x4008_941A,
    "BTRFS_IOC_SET_RECEIVED_SUBVOL": 0xC0C8_9425,
    "BTRFS_IOC_SET_RECEIVED_SUBVOL_32": 0xC0C0_9425,
    "BTRFS_IOC_SNAP_DESTROY_V2": 0x5000_943F,
    "BCH_IOCTL_SUBVOLUME_CREATE": 0x4020_BC10,
    "BCH_IOCTL_SUBVOLUME_DESTROY": 0x4020_BC11,
    "BCHFS_IOC_REINHERIT_ATTRS": 0x8008_BC40,
    "BCHFS_IOC_REINHERIT_ATTRS_32": 0x8004_BC40,
}
"""ioctl(2) requests that change an inode or a directory through a descriptor that is open for reading."""

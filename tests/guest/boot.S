/* Entry of the bare-metal guest: the multiboot header, a stack, flat segments of our own (a multiboot
 * loader leaves none that an interrupt may rely on), then main. */
        .set MAGIC, 0x1BADB002
        .set FLAGS, 0x2                 /* tell us how much memory there is */
        .section .multiboot, "a"
        .align 4
        .long MAGIC, FLAGS, -(MAGIC + FLAGS)

        .text
        .globl _start
_start:
        cli
        mov $stack_top, %esp
        lgdt gdt_pointer
        ljmp $0x08, $1f
1:      mov $0x10, %cx
        mov %cx, %ds
        mov %cx, %es
        mov %cx, %fs
        mov %cx, %gs
        mov %cx, %ss
        push %ebx                       /* the multiboot information */
        push %eax                       /* the loader's magic number */
        call guest_main
2:      cli
        hlt
        jmp 2b

        .section .rodata
        .align 8
gdt:    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdt_pointer:
        .word gdt_pointer - gdt - 1
        .long gdt

        .bss
        .align 16
        .skip 16384
stack_top:
        .section .note.GNU-stack, "", @progbits

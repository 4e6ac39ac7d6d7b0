// SPDX-License-Identifier: Apache-2.0
export function Mark(props: { size: number; color?: string }): JSX.Element {
  return (
    <svg width={props.size} height={props.size} viewBox="0 0 32 32" aria-hidden focusable="false">
      <path fill={props.color ?? "#0f6cbd"} d="M16 1 3 6v9c0 8 5.500 13.700 13 16 7.500-2.300 13-8 13-16V6z" />
      <path fill={props.color ? "#0f6cbd" : "#fff"} d="M11 24V15a5 5 0 0 1 10 0v9h-3.200v-4.200a1.800 1.800 0 0 0-3.600 0V24z" />
    </svg>
  );
}
